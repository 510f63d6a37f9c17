"""Radiographs and CT scans before and after preparation; private ones for a page that stays in the hospital only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad import config
from privrad.imaging.prepare import locate
from privrad.imaging.read import Unreadable, read_radiograph, read_scan
from privrad.report import cuts, inline, words
from privrad.report.account import CohortAccount
from privrad.report.tables import Text

LONGEST = 288
WIDEST = 640


@dataclass(frozen=True)
class Pair:
    """One radiograph or scan: data URIs of it as it came and as the network sees it, and what it shows."""

    before: str
    after: str
    caption: str
    size: str


@dataclass(frozen=True)
class Missed:
    """One image that a model got wrong, for a page that stays in the hospital: a data URI, what it is, and why."""

    picture: str
    caption: Text
    facts: Sequence[Text]


def pairs(
    cohort: CohortAccount, *, experiment: config.Experiment, internal: bool = False, count: int = 4
) -> list[Pair]:
    """A few radiographs or scans of different patients, the same ones every time.

    None of a private cohort, nor of one that may be had under a signed agreement only, unless the page is `internal`.
    Raises Unreadable, which names the image, where it cannot be read any more.
    """
    if not cohort.declared.redistributable and not internal:
        return []
    manifest = pd.read_parquet(cohort.manifest).set_index("image_id")
    paths = pd.read_parquet(cohort.paths).set_index("image_id")["path"]
    rows = {image_id: row for row, image_id in enumerate(cohort.prepared.image_ids)}
    prepared = manifest[manifest.index.isin(list(rows))].drop_duplicates("patient_id")
    findings = experiment.findings
    chosen = _varied(prepared, findings=findings, count=count)
    after = cohort.prepared.take([rows[str(image_id)] for image_id in chosen.index])
    found = []
    for image_id, shown, (_, facts) in zip(chosen.index, after, chosen.iterrows(), strict=True):
        with _named(cohort, str(paths[image_id]), image_id=str(image_id)) as file:
            trusted, window = cohort.declared.sensitivity != "private", experiment.image.window
            looks = _radiograph(file, shown, trusted) if shown.ndim == 2 else _scan(file, shown, trusted, window=window)
        found.append(Pair(*looks[:2], caption=_caption(facts, findings=findings), size=looks[2]))
    return found


def prepared(cohort: CohortAccount, shown: np.ndarray, *, path: str, image_id: str) -> str:
    """A data URI of a prepared radiograph, or of the middle slices of a prepared scan, as the network sees it.

    Of a scan the file is opened, for the millimetres that its voxels take. Raises Unreadable, which names the image.
    """
    if shown.ndim == 2:
        return inline.png(shown, longest=LONGEST)
    with _named(cohort, path, image_id=image_id) as file:
        return _montage(
            cuts.middles(shown), cuts.lengths(read_scan(file, trusted=cohort.declared.sensitivity != "private"))
        )


def _radiograph(file: Path, shown: np.ndarray, trusted: bool) -> tuple[str, str, str]:
    """The two pictures of a radiograph, and their sizes in words."""
    before = read_radiograph(file, trusted=trusted)
    size = f"{before.shape[1]} × {before.shape[0]} to {shown.shape[1]} × {shown.shape[0]} pixels"
    return inline.png(before, longest=LONGEST), inline.png(shown, longest=LONGEST), size


def _scan(file: Path, shown: np.ndarray, trusted: bool, *, window: tuple[float, float] | None) -> tuple[str, str, str]:
    """The two pictures of a scan, middle slices in the same places, and the sizes of the volumes in words."""
    assert window is not None
    scan = read_scan(file, trusted=trusted)
    before, after = cuts.of_scan(scan, window=window, beside=shown.shape), cuts.middles(shown)
    came, given = (" × ".join(map(str, sides)) for sides in (cuts.counts(scan), shown.shape[::-1]))
    pictures = [_montage(each, cuts.lengths(scan)) for each in (before, after)]
    return pictures[0], pictures[1], f"{came} to {given} voxels"


def _montage(held: Sequence[np.ndarray], lengths: cuts.Lengths) -> str:
    return inline.exact(cuts.montage(held, lengths=lengths, longest=WIDEST))


@contextmanager
def _named(cohort: CohortAccount, path: str, *, image_id: str) -> Iterator[Path]:
    """An image's file; of a private cohort an error names the image alone, as logs may be passed on."""
    try:
        yield locate(cohort.root, path)
    except Unreadable as error:
        private = cohort.declared.sensitivity == "private"
        raise error.of(Path(image_id) if private else cohort.root / path) from None


def _varied(prepared: pd.DataFrame, *, findings: Sequence[str], count: int) -> pd.DataFrame:
    """A radiograph without a finding, then some with as little as possible beside one finding each, then the first."""
    pool = prepared.sort_index()
    positives = pool[list(findings)].sum(axis=1).sort_values(kind="stable")
    wished = list(findings)[:: math.ceil(len(findings) / max(count - 1, 1))]
    chosen = list(positives.index[positives == 0][:1])
    for finding in wished:
        having = positives[pool[finding].loc[positives.index] == 1].drop(index=chosen, errors="ignore")
        chosen += list(having.index[:1])
    chosen += [image_id for image_id in pool.index if image_id not in chosen]
    return pool.loc[chosen[:count]]


def _caption(facts: pd.Series[Any], *, findings: Sequence[str]) -> str:
    positive = [words.inside(finding) for finding in findings if facts[finding] == 1]
    about = [words.group("sex", str(facts["sex"]))] * (facts["sex"] in ("F", "M"))
    about += [f"{facts['age']:.0f} years"] * (facts["age"] == facts["age"])
    about += [str(facts["view"])] * bool(facts["view"])
    none = f"None of the {len(findings)} findings" if len(findings) > 1 else f"No {words.inside(findings[0])}"
    said = words.listed(positive)
    labelled = said[:1].upper() + said[1:] or none
    return labelled + (f" ({', '.join(about)})" if about else "")
