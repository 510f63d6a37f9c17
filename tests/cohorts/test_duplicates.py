"""Duplicates: planted copies are found, other pictures are not named, and the law of what goes is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privrad import config
from privrad.cohorts import duplicates, identity
from privrad.cohorts import manifest as manifests
from privrad.imaging import radiograph
from privrad.imaging.read import read_radiograph
from privrad.imaging.shards import write_shard
from tests.cohorts.trees import KEY
from tools.duplicates import STYLES, drawn, find, plant, score

FINDINGS = ["finding"]
Picture = tuple[str, str, str, np.ndarray]
"""Image, patient, the table's part, and prepared pixels."""


@dataclass(frozen=True)
class Result:
    folder: Path
    names: Mapping[str, str]

    @property
    def kept(self) -> set[str]:
        images = manifests.read(self.folder / "manifest.parquet", findings=FINDINGS)["image_id"]
        return {self.names[image] for image in images}

    @property
    def found(self) -> pd.DataFrame:
        table = pd.read_parquet(self.folder / "found.parquet")
        return table.assign(image=table["image_id"].map(self.names), other=table["other_id"].map(self.names))

    @property
    def pairs(self) -> set[tuple[str, ...]]:
        columns = ["image", "other", "other_role", "kind", "action"]
        return set(self.found[columns].itertuples(index=False, name=None))

    @property
    def persons(self) -> list[set[str]]:
        table = pd.read_parquet(self.folder / "identities.parquet")
        assert list(table.columns) == ["patient_id", "person_id"]
        assert (table.groupby("person_id")["patient_id"].min() == table["person_id"].unique()).all()
        return sorted((set(ids.map(self.names)) for _, ids in table.groupby("person_id")["patient_id"]), key=sorted)

    @property
    def counts(self) -> list[tuple[Any, ...]]:
        return list(pd.read_csv(self.folder / "counts.csv").itertuples(index=False, name=None))


def cohort(folder: Path, pictures: Sequence[Picture], *, size: int = 16) -> tuple[Path, list[Path], dict[str, str]]:
    """A manifest and two shards of these pictures, the second one for every third image, and the names of their ids."""
    rows: list[dict[str, str]] = []
    names: dict[str, str] = {}
    for image, patient, part, _ in pictures:
        ids = {kind: identity.keyed_id(KEY, kind, name) for kind, name in (("image", image), ("patient", patient))}
        names |= {ids["image"]: image, ids["patient"]: patient}
        rows.append({"image_id": ids["image"], "patient_id": ids["patient"], "study_id": ids["image"], "part": part})
    table = pd.DataFrame(rows, columns=["image_id", "patient_id", "study_id", "part"], dtype="str")
    fixed: dict[str, Any] = {"view": "PA", "age": 50.0, "sex": "F", "bedside": False, "site": "here"}
    table = table.assign(**fixed, source_split=table["part"], finding=0)
    table = table.astype({"bedside": "boolean", "finding": "int8", "view": "str", "sex": "str", "site": "str"})
    columns = list(manifests.schema(FINDINGS).columns)
    ordered = table.sort_values("image_id", ignore_index=True)[columns]
    folder.mkdir(parents=True, exist_ok=True)
    manifests.write(folder / "ingest.parquet", ordered, findings=FINDINGS)
    shards = []
    for shard in range(2):
        mine = [row for row in range(len(pictures)) if (row % 3 == 2) == shard]
        pixels = np.array([pictures[row][3] for row in mine], dtype=np.uint8).reshape(-1, size, size)
        shards.append(folder / f"shard-{shard}.safetensors")
        write_shard(shards[-1], pixels=pixels, image_ids=[rows[row]["image_id"] for row in mine], refused={})
    return folder / "ingest.parquet", shards, names


def run(
    folder: Path,
    pictures: Sequence[Picture],
    *,
    public: Sequence[Picture] | None = None,
    role: config.Role = "private",
    by_table: bool = False,
    same_ids: bool = False,
    size: int = 16,
) -> Result:
    manifest, shards, names = cohort(folder, pictures, size=size)
    other = None
    if public is not None:
        listed, prepared, more = cohort(folder / "public", public, size=size)
        other = (listed, prepared)
        names |= more
    duplicates.run(
        manifest=manifest,
        shards=shards,
        findings=FINDINGS,
        role=role,
        by_table=by_table,
        public=other,
        same_ids=same_ids,
        kept=folder / "manifest.parquet",
        identities=folder / "identities.parquet",
        found=folder / "found.parquet",
        counts=folder / "counts.csv",
        removed=folder / "removed.csv",
    )
    gone = pd.read_csv(folder / "removed.csv")
    assert list(gone.columns) == ["reason", "count"]
    assert gone["count"].sum() == len(pd.read_parquet(manifest)) - len(pd.read_parquet(folder / "manifest.parquet"))
    return Result(folder, names)


def pixels(seed: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def one(name: str, seed: int, *, patient: str = "", part: str = "") -> Picture:
    return name, patient or f"p{name}", part, pixels(seed)


@pytest.fixture(scope="module")
def chests() -> list[np.ndarray]:
    return [picture for _, picture in drawn(12, style="private", seed=52, size=192)]


def test_planted_copies_are_found_and_others_are_not_named(tmp_path: Path) -> None:
    tables, shards = [], []
    for half, style in enumerate(STYLES):
        shards.append(tmp_path / f"{style}.safetensors")
        pictures = drawn(300, style=style, seed=61, size=160)
        tables.append(plant(pictures, count=300, planted=60, size=96, seed=61, first=300 * half, out=shards[-1]))
    table = pd.concat(tables, ignore_index=True)
    assert table["patient"].nunique() < 600
    scored = score(table, find(table, shards, tmp_path))
    assert scored["exact"][0] == scored["exact"][1] >= 10
    assert scored["changed"][0] >= scored["changed"][1] - 1 >= 100
    assert scored["others_named"] == [0, 600]


def test_real_pictures_of_one_patient_are_not_one_picture(tmp_path: Path, real_data: Path) -> None:
    table = pd.read_csv(real_data / "cxr_nih/metadata.csv").sort_values(["Patient ID", "file"])
    several = table[table.groupby("Patient ID")["file"].transform("size") >= 3]
    read = {file: read_radiograph(real_data / "cxr_nih" / file) for file in several["file"]}
    pictures: list[Picture] = [
        (file, str(patient), "", radiograph.prepare(read[file], size=128))
        for file, patient in zip(several["file"], several["Patient ID"], strict=True)
    ]
    assert len(pictures) > 100
    cut = next(iter(read))
    pictures.append(("cut", "another", "", radiograph.prepare(read[cut][8:-3, 5:-10], size=128)))
    result = run(tmp_path, pictures, size=128)
    assert len(result.found) == 1
    assert {*result.found.loc[0, ["image", "other"]]} == {cut, "cut"}


def test_the_private_copy_of_a_public_picture_goes(tmp_path: Path) -> None:
    private = [one("a", 1), one("b", 2), one("a again", 1, patient="pa"), one("c", 3)]
    result = run(tmp_path, private, public=[one("A", 1), one("D", 4), one("E", 4)], by_table=False)
    assert result.kept == {"b", "c"}
    assert result.pairs == {
        ("a", "A", "public", "exact", "removed"),
        ("a again", "A", "public", "exact", "removed"),
    }
    assert result.counts == [("exact", "public", "removed", 2, 2)]
    assert result.persons == []


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        (("train", "test"), "a"),
        (("test", "train"), "b"),
        (("train", "validation"), "a"),
        (("test", "validation"), "b"),
        (("train", "train"), "ab"),
        (("test", "test"), "ab"),
    ],
)
def test_of_a_table_s_parts_the_one_nearest_to_training_keeps_it(
    tmp_path: Path, parts: tuple[str, str], kept: str
) -> None:
    pictures = [one(name, 1, part=part) for name, part in zip("ab", parts, strict=True)]
    result = run(tmp_path, [*pictures, one("c", 2, part="test")], by_table=True)
    assert result.kept == {*kept, "c"}
    where = "between_patients" if kept == "ab" else "train_test"
    assert result.counts == [("exact", where, "reported" if kept == "ab" else "removed", 1, 1)]
    assert result.persons == [{"pa", "pb"}]


def test_a_split_by_hash_removes_nothing_and_joins_the_patients(tmp_path: Path) -> None:
    parts = {"a": "train", "b": "test", "c": "", "d": "test", "e": "test"}
    seeds = {"a": 1, "b": 1, "c": 2, "d": 3, "e": 3}
    pictures = [one(name, seeds[name], part=part) for name, part in parts.items()]
    pictures += [one("b2", 2, patient="pb"), one("f", 4)]
    result = run(tmp_path, pictures)
    assert result.kept == {*parts, "b2", "f"}
    assert result.persons == [{"pa", "pb", "pc"}, {"pd", "pe"}]
    assert result.counts == [("exact", "between_patients", "reported", 3, 3)]


def test_the_same_picture_of_one_patient_is_reported_only(tmp_path: Path) -> None:
    result = run(tmp_path, [one("a", 1, part="train"), one("b", 1, part="train", patient="pa")], by_table=True)
    assert result.kept == {"a", "b"}
    assert result.counts == [("exact", "within_patient", "reported", 1, 1)]
    assert result.persons == []


def test_a_public_cohort_is_looked_at_alone(tmp_path: Path) -> None:
    result = run(tmp_path, [one("a", 1, part="train"), one("b", 1, part="test")], by_table=True, role="public")
    assert result.pairs == {("b", "a", "public", "exact", "removed")}


def test_a_chain_of_cuts_is_one_picture(tmp_path: Path, chests: list[np.ndarray]) -> None:
    chain = [chests[0]]
    for step in range(4):
        side = (slice(None), slice(7, None)) if step % 2 else (slice(8, None), slice(None))
        chain.append(chain[-1][side])
    private: list[Picture] = [
        (str(number), f"p{number}", "", radiograph.prepare(picture, size=96)) for number, picture in enumerate(chain)
    ]
    others: list[Picture] = [
        (f"other {number}", f"q{number}", "", radiograph.prepare(picture, size=96))
        for number, picture in enumerate(chests[2:])
    ]
    ends = run(tmp_path / "ends", [private[0], private[-1], *others], size=96)
    assert ends.pairs == set()
    public = [("public", "pp", "", private[0][3])]
    result = run(tmp_path, [*private[1:], *others], public=public, size=96)
    assert result.kept == {name for name, *_ in others}
    assert {(image, other) for image, other, *_ in result.pairs} == {(name, "public") for name in "1234"}
    assert result.persons == [{"p1", "p2", "p3", "p4"}]


def test_the_same_images_give_the_same_bytes(tmp_path: Path, chests: list[np.ndarray]) -> None:
    pictures: list[Picture] = [
        (str(number), f"p{number // 2}", "", radiograph.prepare(picture[: 180 + number // 6], size=80))
        for number, picture in enumerate([*chests, *chests[:4]])
    ]
    both = [run(tmp_path / name, pictures, size=80) for name in "ab"]
    assert len(both[0].found) == 4
    names = ["manifest.parquet", "identities.parquet", "found.parquet", "counts.csv"]
    one, other = ([(result.folder / name).read_bytes() for name in names] for result in both)
    assert one == other


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one(tmp_path: Path, count: int, chests: list[np.ndarray]) -> None:
    pictures = [("a", "p", "", radiograph.prepare(chests[0], size=80))][:count]
    result = run(tmp_path, pictures, public=[], size=80)
    assert (result.kept, result.pairs, result.persons, result.counts) == ({"a"} if count else set(), set(), [], [])
    assert list(result.found.columns[: len(duplicates.FOUND)]) == list(duplicates.FOUND)


def test_a_thousand_equal_images_are_one_star(tmp_path: Path) -> None:
    pictures = [(str(number), f"p{number}", "", np.full((64, 64), 7, np.uint8)) for number in range(1000)]
    result = run(tmp_path, pictures, size=64)
    assert len(result.found) == 999
    assert result.found["other"].nunique() == 1
    assert result.counts == [("exact", "between_patients", "reported", 999, 999)]


def test_an_image_that_was_not_prepared_stays_and_one_that_went_is_not_compared(tmp_path: Path) -> None:
    manifest, shards, names = cohort(tmp_path, [one("a", 1), one("b", 1), one("c", 2)])
    images = manifests.read(manifest, findings=FINDINGS)
    left = images[images["image_id"].map(names) != "b"].reset_index(drop=True)
    manifests.write(manifest, left, findings=FINDINGS)
    places: dict[str, Any] = {name: tmp_path / name for name in ("kept", "identities", "found", "counts", "removed")}
    chosen: dict[str, Any] = {"findings": FINDINGS, "role": "private", "by_table": False, "public": None}
    duplicates.run(manifest=manifest, shards=shards[:1], **chosen, **places)
    assert len(pd.read_parquet(places["found"])) == 0
    assert set(pd.read_parquet(places["kept"])["image_id"].map(names)) == {"a", "c"}


def patients(result: Result) -> dict[str, set[str]]:
    """The images of each patient id of the manifest that goes on."""
    kept = pd.read_parquet(result.folder / "manifest.parquet")
    return {str(patient): set(images.map(result.names)) for patient, images in kept.groupby("patient_id")["image_id"]}


def test_ids_that_share_a_picture_go_on_as_one_patient(tmp_path: Path) -> None:
    pictures = [one("a", 1), one("b", 1), one("c", 2, patient="pb"), one("d", 3)]
    assert sorted(map(sorted, patients(run(tmp_path, pictures)).values())) == [["a", "b", "c"], ["d"]]


def test_a_person_who_goes_moves_nobody_else(tmp_path: Path) -> None:
    pictures = [one("a", 1), one("b", 1), *(one(name, seed) for seed, name in enumerate("cdefgh", start=5))]
    before = patients(run(tmp_path / "before", pictures))
    after = patients(run(tmp_path / "after", pictures[2:]))
    assert after == {patient: images for patient, images in before.items() if images != {"a", "b"}}
    assert len(after) == 6


def test_a_person_in_two_parts_of_a_table_stays_two_ids_and_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [one("a", 1, part="train"), one("b", 1, part="test"), one("c", 2, patient="pb", part="test")]
    pictures += [one("d", 3, part="train"), one("e", 3, part="train")]
    result = run(tmp_path, pictures, by_table=True)
    assert sorted(map(sorted, patients(result).values())) == [["a"], ["c"], ["d", "e"]]
    assert "1 people, by a picture that they share under two ids, stand in two parts" in caplog.text


def test_a_picture_under_many_ids_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, [one(str(number), 1) for number in range(7)])
    assert "7 patient ids share pictures" in caplog.text


def test_images_of_a_patient_of_the_public_cohort_go_where_ids_are_the_same(tmp_path: Path) -> None:
    private = [one("a", 1, patient="p"), one("b", 2), one("c", 3, patient="q")]
    public = [one("A", 4, patient="p"), one("B", 3)]
    assert run(tmp_path / "other", private, public=public).kept == {"a", "b"}
    result = run(tmp_path / "same", private, public=public, same_ids=True)
    assert result.kept == {"b"}
    assert result.counts == [("exact", "public", "removed", 1, 1), ("patient", "patient", "removed", 1, 1)]
    gone = pd.read_csv(result.folder / "removed.csv")
    assert dict(zip(gone["reason"], gone["count"], strict=True)) == {
        "copy_of_a_public_image": 1,
        "patient_in_the_public_cohort": 1,
    }


def test_a_file_of_one_name_in_both_cohorts_is_a_copy(tmp_path: Path) -> None:
    result = run(tmp_path, [one("a", 1), one("b", 2)], public=[one("a", 1)])
    assert result.kept == {"b"}
