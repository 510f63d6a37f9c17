"""Duplicates: the same picture, or the same patient, in two places."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csgraph

from privrad import config, progress
from privrad.cohorts import manifest as manifests
from privrad.imaging import alignment, fingerprint
from privrad.imaging.shards import Images, open_shards

FOUND = ("image_id", "other_id", "other_role", "kind", "correlation", "action")
COUNTS = ("kind", "where", "action", "pairs", "images")
REASONS = {
    "public": "copy_of_a_public_image",
    "patient": "patient_in_the_public_cohort",
    "train_test": "copy_in_another_part",
}
_MOST_IDS = 5
_RANKS = {"public": 0, "train": 1, "validation": 2, "test": 3, "": 4}
log = logging.getLogger("privrad")


def run(
    *,
    manifest: Path,
    shards: Sequence[Path],
    findings: Sequence[str],
    role: config.Role,
    by_table: bool,
    public: tuple[Path, Sequence[Path]] | None,
    same_ids: bool = False,
    kept: Path,
    identities: Path,
    found: Path,
    counts: Path,
    removed: Path,
) -> None:
    """Find the images of a cohort that show the same picture as another one, and write the manifest of those that stay.

    `public` is the manifest and the shards of the cohort that the private one must have no picture of, nor, with
    `same_ids`, any other image of its patients. `by_table` says that the cohort's own table splits it. Of a picture in
    two cohorts the private copies go; of one in two parts of a table's split all but those of the part nearest to
    training. All else is reported: `found` has a row for each image with the one that stands for its picture, `counts`
    their numbers, `removed` how many went and why. `identities` names the person behind patient ids that share a
    picture; that id stands in the manifest for all of them, but where a table's split takes them apart.
    """
    own = manifests.read(manifest, findings=findings)
    images = _images(own, role, part=own["source_split"] if by_table else "")
    sources = [open_shards(shards)]
    if public is not None:
        listed = pd.read_parquet(public[0], columns=["image_id", "patient_id"])
        images = pd.concat([images, _images(listed, "public", part="public")], ignore_index=True)
        sources.append(open_shards(public[1]))
    prepared, rows = _prepared(images, sources)
    alike = _alike(images.iloc[rows].reset_index(drop=True), prepared)
    pairs = _judged(alike, role=role)
    if public is not None and same_ids:
        pairs = pd.concat([pairs, _in_both(own, listed, pairs)], ignore_index=True).sort_values("image_id")
    gone = pairs.loc[pairs["action"] == "removed", "image_id"]
    persons = _persons(alike[alike["own"]])
    left = own[~own["image_id"].isin(gone)].reset_index(drop=True)
    manifests.write(kept, _joined(left, persons, by_table=by_table), findings=findings)
    manifests.write_parquet(identities, persons)
    manifests.write_parquet(found, pairs[list(FOUND)])
    manifests.write_csv(counts, counted(pairs))
    manifests.write_csv(removed, taken_out(pairs))
    log.info("duplicates: %d of %d images show a picture again, %d of them go", len(pairs), len(own), len(gone))
    for kind, where, action, count, _ in counted(pairs).itertuples(index=False):
        log.info("duplicates: %d %s pairs, %s: %s", count, kind, str(where).replace("_", " "), action)


def _in_both(own: pd.DataFrame, public: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """A row for each image, not in `pairs`, of a patient who has images in the public cohort, too."""
    first = public.groupby("patient_id")["image_id"].min()
    images = own[own["patient_id"].isin(first.index) & ~own["image_id"].isin(pairs["image_id"])]
    facts: dict[str, Any] = {
        "other_role": "public",
        "kind": "patient",
        "correlation": np.nan,
        "action": "removed",
        "where": "patient",
    }
    return images[["image_id"]].assign(other_id=images["patient_id"].map(first), **facts)


def _joined(images: pd.DataFrame, persons: pd.DataFrame, *, by_table: bool) -> pd.DataFrame:
    """The manifest with one id for each person, unless the cohort's own table has them in two parts."""
    sizes = persons["person_id"].value_counts()
    if len(sizes) and sizes.iloc[0] > _MOST_IDS:
        log.warning(
            "%d patient ids share pictures and count as one person; if it is a placeholder, take it out of the table",
            sizes.iloc[0],
        )
    known = dict(zip(persons["patient_id"], persons["person_id"], strict=True))
    person = images["patient_id"].map(lambda patient: known.get(patient, patient)).astype("str")
    if by_table:
        torn = images.groupby(person)["source_split"].transform("nunique") > 1
        if torn.any():
            log.warning(
                "%d people, by a picture that they share under two ids, stand in two parts of the table's split; their "
                "copies were taken out, their other images were not: look at them, and correct the table",
                person[torn].nunique(),
            )
        person = person.mask(torn, images["patient_id"])
    return images.assign(patient_id=person)


def taken_out(pairs: pd.DataFrame) -> pd.DataFrame:
    """How many images went, by the reason: columns reason and count."""
    counts = pairs.loc[pairs["action"] == "removed", "where"].map(REASONS).astype("str").value_counts().sort_index()
    return counts.rename_axis("reason").reset_index(name="count")


def counted(pairs: pd.DataFrame) -> pd.DataFrame:
    """How many pairs and images there are of each kind, by where they stand and what becomes of them."""
    groups = pairs.groupby(["kind", "where", "action"], sort=True)["image_id"]
    table = groups.agg(pairs="size", images="nunique").reset_index()
    return table[list(COUNTS)]


def _images(table: pd.DataFrame, role: str, *, part: pd.Series | str) -> pd.DataFrame:
    images = table[["image_id", "patient_id"]].assign(role=role, part=part)
    return images.assign(own=images["part"] != "public")


@dataclass(frozen=True)
class _Prepared:
    """The prepared images of the cohorts that take part, by one running number."""

    sources: Sequence[Images]
    places: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.places)

    def read(self, number: int) -> np.ndarray:
        source, row = self.places[number]
        image: np.ndarray = self.sources[source].take([row])[0]
        return image

    def picture(self, number: int) -> np.ndarray:
        picture = fingerprint.picture(self.read(number))
        if picture is None:
            raise ValueError(f"image {number} is smaller than {fingerprint.SIDE} pixels; prepare it larger")
        return picture


def _prepared(images: pd.DataFrame, sources: Sequence[Images]) -> tuple[_Prepared, list[int]]:
    """The images that were prepared, in the order of their table, and their rows in it; the cohort's own come first."""
    where = [{image_id: row for row, image_id in enumerate(source.image_ids)} for source in sources]
    places, rows = [], []
    for number, (image_id, own) in enumerate(zip(images["image_id"], images["own"], strict=True)):
        source = 0 if own else 1
        if image_id in where[source]:
            places.append((source, where[source][image_id]))
            rows.append(number)
    return _Prepared(sources, places), rows


def _alike(images: pd.DataFrame, prepared: _Prepared) -> pd.DataFrame:
    """The images that share a picture: with `group`, `exact` (a number for equal pixels) and their best correlation."""
    exact, details, rows = _fingerprints(prepared)
    own = int(images["own"].to_numpy()[rows].sum())
    pairs = fingerprint.same(details, lambda row: prepared.picture(int(rows[row])), queries=own)
    one, other = rows[pairs.first], rows[pairs.second]
    best = np.full(len(images), -1.0)
    for side in (one, other):
        np.maximum.at(best, side, pairs.correlation)
    numbers = np.arange(len(images))
    group = _components(np.concatenate([numbers, one]), np.concatenate([exact, other]), count=len(images))
    table = images.assign(group=group, exact=exact, correlation=best[exact])
    return table[table.duplicated("group", keep=False)]


def _fingerprints(prepared: _Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each image the first one with equal pixels; the details of those first ones, and which images they are.

    There are none where images are smaller than a fingerprint.
    """
    count = len(prepared)
    first: dict[bytes, int] = {}
    exact = np.empty(count, dtype=np.int64)
    details = np.empty((count, alignment.SIDE, alignment.SIDE), dtype=np.int8)
    rows: list[int] = []
    for number in progress.track(range(count), what="pictures"):
        image = prepared.read(number)
        exact[number] = first.setdefault(fingerprint.digest(image), number)
        picture = fingerprint.picture(image) if exact[number] == number else None
        if picture is not None:
            details[len(rows)] = alignment.detail(picture)
            rows.append(number)
    return exact, details[: len(rows)], np.array(rows, dtype=np.int64)


def _components(start: np.ndarray, end: np.ndarray, *, count: int) -> np.ndarray:
    """The group of each of `count` things that these links join, directly or through others."""
    graph = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(count, count))
    groups: np.ndarray = csgraph.connected_components(graph, directed=False)[1]
    return groups


def _judged(alike: pd.DataFrame, *, role: str) -> pd.DataFrame:
    """A row for each image of the cohort beside the one that stands for its picture, and what becomes of it."""
    ordered = alike.assign(rank=alike["part"].map(_RANKS)).sort_values(["group", "rank", "image_id"])
    first = ordered.groupby("group")[["image_id", "patient_id", "part", "rank", "exact", "own"]].transform("first")
    repeated = ordered.duplicated("group")
    pairs = ordered.assign(**{f"other_{name}": first[name] for name in first})
    pairs = pairs[pairs["own"] & repeated]
    public = ~pairs["other_own"].astype(bool)
    within = ~public & (pairs["patient_id"] == pairs["other_patient_id"])
    parts = ~public & ~within & (pairs["other_rank"] < pairs["rank"]) & (pairs["part"] != "")
    same = pairs["exact"] == pairs["other_exact"]
    where = np.select([public, within, parts], ["public", "within_patient", "train_test"], "between_patients")
    return pd.DataFrame(
        {
            "image_id": pairs["image_id"],
            "other_id": pairs["other_image_id"],
            "other_role": np.where(public, "public", role),
            "kind": np.where(same, "exact", "near"),
            "correlation": pairs["correlation"].where(~same, 1.0),
            "action": np.where(public | parts, "removed", "reported"),
            "where": where,
        }
    ).sort_values("image_id", ignore_index=True)


def _persons(alike: pd.DataFrame) -> pd.DataFrame:
    """Each patient id that shares a picture with another, and the least id of its person."""
    patients, ids = pd.factorize(alike["patient_id"], sort=True)
    groups = pd.factorize(alike["group"])[0] + len(ids)
    person = _components(patients, groups, count=len(ids) + len(alike))[: len(ids)]
    table = pd.DataFrame({"patient_id": ids.astype("str"), "person": person})
    table["person_id"] = table.groupby("person")["patient_id"].transform("min")
    shared = table[table.duplicated("person", keep=False)]
    return shared[["patient_id", "person_id"]].reset_index(drop=True)
