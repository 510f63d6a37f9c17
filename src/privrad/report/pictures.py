"""Radiographs before and after preparation; those of a private cohort for a page that stays in the hospital only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad.imaging.prepare import locate
from privrad.imaging.read import Unreadable, read_radiograph
from privrad.report import inline, words
from privrad.report.account import CohortAccount
from privrad.report.tables import Text

LONGEST = 288


@dataclass(frozen=True)
class Pair:
    """One radiograph: data URIs of the picture as it came and as the network sees it, and what it shows."""

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


def pairs(cohort: CohortAccount, *, findings: Sequence[str], internal: bool = False, count: int = 4) -> list[Pair]:
    """A few radiographs of different patients, the same ones every time.

    None of a private cohort, nor of one that may be had under a signed agreement only, unless the page is `internal`.
    """
    if not cohort.declared.redistributable and not internal:
        return []
    manifest = pd.read_parquet(cohort.manifest).set_index("image_id")
    paths = pd.read_parquet(cohort.paths).set_index("image_id")["path"]
    rows = {image_id: row for row, image_id in enumerate(cohort.prepared.image_ids)}
    prepared = manifest[manifest.index.isin(list(rows))].drop_duplicates("patient_id")
    chosen = _varied(prepared, findings=findings, count=count)
    after = cohort.prepared.take([rows[str(image_id)] for image_id in chosen.index])
    found = []
    for image_id, shown, (_, facts) in zip(chosen.index, after, chosen.iterrows(), strict=True):
        before = _read(cohort, str(paths[image_id]), image_id=str(image_id))
        found.append(
            Pair(
                before=inline.png(before, longest=LONGEST),
                after=inline.png(shown, longest=LONGEST),
                caption=_caption(facts, findings=findings),
                size=f"{before.shape[1]} × {before.shape[0]} to {shown.shape[1]} × {shown.shape[0]} pixels",
            )
        )
    return found


def _read(cohort: CohortAccount, path: str, *, image_id: str) -> np.ndarray:
    """A radiograph as it came; of a private cohort an error names the image alone, as logs may be passed on."""
    try:
        return read_radiograph(locate(cohort.root, path))
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
    positive = [words.finding(finding).lower() for finding in findings if facts[finding] == 1]
    about = [words.group("sex", str(facts["sex"]))] * (facts["sex"] in ("F", "M"))
    about += [f"{facts['age']:.0f} years"] * (facts["age"] == facts["age"])
    about += [str(facts["view"])] * bool(facts["view"])
    none = f"None of the {len(findings)} findings" if len(findings) > 1 else f"No {words.finding(findings[0]).lower()}"
    labelled = words.listed(positive).capitalize() or none
    return labelled + (f" ({', '.join(about)})" if about else "")
