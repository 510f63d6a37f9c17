"""The groups of images that accuracy is given for: all, each sex, each age band, each value of any further column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_VALUES = 50


def bands(ages: NDArray[np.float64], *, edges: Sequence[float]) -> NDArray[np.object_]:
    """Name each age's band, such as "[30,60)", upper edge out; NaN is "unknown", beyond all bands is "outside"."""
    labels = [f"[{low:g},{high:g})" for low, high in pairwise(edges)]
    names = np.array(["outside", *labels, "outside", "unknown"], dtype=object)
    place = np.searchsorted(np.asarray(edges, dtype=float), ages, side="right")
    return names[np.where(np.isnan(ages), len(labels) + 2, place)]


def of_images(
    images: pd.DataFrame, *, columns: Sequence[str], age_bands: Sequence[float]
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """The members of every group: (column, value) to a mask over the rows of `images`; ("all", "all") comes first.

    Raises ValueError for a column with more values than can be a grouping.
    """
    members: dict[tuple[str, str], NDArray[np.bool_]] = {("all", "all"): np.ones(len(images), dtype=bool)}
    for column in columns:
        if column == "age":
            ages = pd.to_numeric(images[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            values = bands(ages, edges=age_bands)
            ordered = [*bands(np.unique(ages[np.isfinite(ages)]), edges=age_bands), "unknown"]
        else:
            known = images[column].astype(object).where(images[column].notna(), "unknown")
            values = known.map(str).to_numpy(dtype=object)
            ordered = sorted(set(values))
        ordered = list(dict.fromkeys(ordered))
        if len(ordered) > MOST_VALUES:
            raise ValueError(
                f"predictions: column {column} has {len(ordered)} values, too many to group by; "
                f"band it into at most {MOST_VALUES}, or leave it out"
            )
        for value in ordered:
            mask = values == value
            if mask.any():
                members[column, value] = mask
    return members
