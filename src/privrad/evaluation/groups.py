"""The groups of images that numbers are given for: all, the values of each column, of pairs of columns, of findings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_VALUES = 50
FINDINGS = "findings"
BOTH = " & "
DEFAULT_INTERSECTIONS = (("sex", "age"),)
QUARTILES = "quartiles"
Bands = Literal["quartiles"] | Sequence[float]
Mask = NDArray[np.bool_]
Names = NDArray[np.object_]


def bands(ages: NDArray[np.float64], *, edges: Sequence[float]) -> Names:
    """Name each age's band, such as "[30,60)", upper edge out; NaN is "unknown", beyond all bands is "outside"."""
    labels = [f"[{low:g},{high:g})" for low, high in pairwise(edges)]
    names = np.array(["outside", *labels, "outside", "unknown"], dtype=object)
    place = np.searchsorted(np.asarray(edges, dtype=float), ages, side="right")
    return names[np.where(np.isnan(ages), len(labels) + 2, place)]


def edges_of(images: pd.DataFrame, *, age_bands: Bands, minimum: int) -> tuple[float, ...]:
    """The edges of the age bands of all `images`, which have the columns patient_id and age; none without ages.

    Edges that are given are taken as they are. Quartiles: a patient counts once, with the lowest known age of their
    images, in whole years. The k-th quartile is the age of rank ceil(k n / 4) of n patients (type 1 of Hyndman and
    Fan 1996), and the band up to it ends before the next whole year, so that no year of age is torn. From the lowest
    on, an edge stands only where at least `minimum` patients lie in the band that it closes, and as many above it. The
    first band begins at 0 and the last has no end.
    """
    if "age" not in images:
        return ()
    if not isinstance(age_bands, str):
        return tuple(float(edge) for edge in age_bands)
    ages = pd.Series(np.floor(_years(images["age"])), index=images["patient_id"].to_numpy())
    lowest = np.sort(ages[(ages >= 0) & np.isfinite(ages)].groupby(level=0).min().to_numpy())
    kept, count = [0.0], len(lowest)
    for quartile in (1, 2, 3) if count else ():
        edge = float(lowest[-(-quartile * count // 4) - 1]) + 1
        closed, above = int(((lowest >= kept[-1]) & (lowest < edge)).sum()), int((lowest >= edge).sum())
        kept += [edge] * (min(closed, above) >= max(minimum, 1))
    return (*kept, math.inf)


def of_images(
    images: pd.DataFrame,
    *,
    columns: Sequence[str],
    age_bands: Sequence[float],
    intersections: Sequence[tuple[str, str]] = (),
    labels: NDArray[np.float64] | None = None,
) -> dict[tuple[str, str], Mask]:
    """The members of every group: (column, value) to a mask over the rows of `images`; ("all", "all") comes first.

    `labels` is [images, findings], 1 where a finding is present, NaN where it was not asked for. With two findings or
    more they add the column "findings": how many of them an image shows ("0", "1", "2", "3+"). Each pair of
    `intersections` adds a column such as "sex & age", with values such as "F & [30,60)". A value that is missing or
    blank is "unknown".
    Raises ValueError for a column with more values than can be a grouping, ages that are no numbers, and a pair that
    names a column which the predictions lack; the default pair is left out there.
    """
    named = {column: _named(images[column], column, age_bands) for column in columns}
    if labels is not None and labels.shape[1] > 1:
        named[FINDINGS] = _counted(labels)
    for pair in intersections:
        lacking = [column for column in pair if column not in named]
        if not lacking:
            named[BOTH.join(pair)] = _crossed(named[pair[0]], named[pair[1]])
        elif tuple(map(tuple, intersections)) != DEFAULT_INTERSECTIONS:
            raise ValueError(
                f"intersections: the predictions have no column {', '.join(lacking)}, only "
                f"{', '.join(named) or 'none'}; take the pair {' and '.join(pair)} out, or give the column"
            )
    members: dict[tuple[str, str], Mask] = {("all", "all"): np.ones(len(images), dtype=bool)}
    for column, (values, ordered) in named.items():
        _refuse_many(column, ordered)
        members |= {(column, value): values == value for value in ordered}
    return members


def _named(values: pd.Series, column: str, age_bands: Sequence[float]) -> tuple[Names, list[str]]:
    """The value of each image as text, and the distinct ones in the order that they are shown in."""
    if column == "age":
        ages = _years(values)
        names, ordered = bands(ages, edges=age_bands), bands(np.sort(ages), edges=age_bands)
        return names, sorted(dict.fromkeys(ordered), key=lambda name: name in ("outside", "unknown"))
    known = values.astype(object).where(values.notna(), "unknown").to_numpy(dtype=object)
    names = np.array([_text(value) for value in known], dtype=object)
    return names, sorted(set(names))


def _text(value: object) -> str:
    """A value as text: 1.0 is "1", as whole numbers with a gap are read; blank text is "unknown"."""
    text = f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text or "unknown"


def _years(values: pd.Series) -> NDArray[np.float64]:
    given = values.astype(object).where(values.notna(), np.nan)
    years = pd.to_numeric(given, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    at_fault = given.notna().to_numpy() & np.isnan(years)
    at_fault &= given.astype(str).str.strip().ne("").to_numpy()
    if at_fault.any():
        some = ", ".join(map(repr, list(dict.fromkeys(given[at_fault]))[:5]))
        raise ValueError(f"predictions: column age holds {some}; give years as numbers, or name the column otherwise")
    return years


def _counted(labels: NDArray[np.float64]) -> tuple[Names, list[str]]:
    names = np.array(["0", "1", "2", "3+"], dtype=object)
    counts = np.minimum((labels == 1).sum(axis=1), 3)
    return names[counts], list(names[np.unique(counts)])


def _crossed(one: tuple[Names, list[str]], other: tuple[Names, list[str]]) -> tuple[Names, list[str]]:
    names = one[0] + BOTH + other[0]
    present = set(names)
    possible: Iterable[str] = (first + BOTH + second for first in one[1] for second in other[1])
    return names, [name for name in possible if name in present]


def _refuse_many(column: str, values: Sequence[str]) -> None:
    if len(values) > MOST_VALUES:
        raise ValueError(
            f"predictions: column {column} has {len(values)} values, too many to group by; "
            f"band it into at most {MOST_VALUES}, or leave it out"
        )
