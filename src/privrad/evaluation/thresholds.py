"""The cut-offs from which a score is called positive, chosen on images that are not measured with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RULES = ("youden", "specificity")
FEW = 10


@dataclass(frozen=True)
class Threshold:
    """A cut-off (`score >= value` is positive) and what it reaches on the images that it was chosen on."""

    value: float
    sensitivity: float
    specificity: float
    note: str


def choose(scores: Floats | None, *, labels: NDArray[np.bool_] | None, rule: str, specificity: float) -> Threshold:
    """Choose the cut-off of one model and finding on one row an image: `scores` in [0, 1] and `labels`.

    Cut-offs lie midway between neighbouring distinct scores; 0 and 1 count as neighbours of the lowest and the highest,
    so that all and none can be called. Rule "youden" maximises sensitivity + specificity - 1 (Youden, Cancer 3, 1950);
    of equal ones it takes that with the least distance between sensitivity and specificity, then the lowest. Rule
    "specificity" takes the lowest cut-off with at least that specificity. All comparisons are of whole numbers of
    images, so equal scores are never split. NaN with a note without images (None for both), or without a positive or a
    negative one. Raises ValueError for another rule.
    """
    if rule not in RULES:
        raise ValueError(f"threshold rule {rule!r} must be {' or '.join(RULES)}")
    if scores is None or labels is None or not len(scores):
        return Threshold(math.nan, math.nan, math.nan, "not estimable: no validation images")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        kind = "negative" if positives else "positive"
        return Threshold(math.nan, math.nan, math.nan, f"not estimable: no {kind} images to choose on")
    cuts, called, false = _candidates(scores, labels)
    if rule == "youden":
        place = _best(called, false, positives=positives, negatives=negatives)
    else:
        place = int(np.flatnonzero((negatives - false) / negatives >= specificity)[0])
    few = min(positives, negatives)
    note = f"uncertain: chosen on {few} {'positive' if positives == few else 'negative'} images" if few < FEW else ""
    if rule == "youden" and called[place] * negatives <= false[place] * positives:
        note = "; ".join(filter(None, [note, "uncertain: no cut-off is better than chance"]))
    reached = float(called[place]) / positives, float(negatives - false[place]) / negatives
    return Threshold(float(cuts[place]), *reached, note)


def _candidates(scores: Floats, labels: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Every cut-off in ascending order, with the true and the false positives at each."""
    distinct, place = np.unique(scores, return_inverse=True)
    below = np.concatenate([[0.0], distinct])
    above = np.concatenate([distinct, [1.0]])
    cuts = below + (above - below) / 2
    cuts = np.where(cuts > below, cuts, above)
    cuts[0] = distinct[0] / 2
    if distinct[-1] == 1:
        cuts[-1] = np.nextafter(1.0, 2.0)
    return cuts, _from_above(place[labels], len(distinct)), _from_above(place[~labels], len(distinct))


def _from_above(places: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """How many lie at or above each of `count` places, and above them all."""
    own = np.bincount(places, minlength=count + 1).astype(np.int64)
    return np.cumsum(own[::-1])[::-1]


def _best(called: NDArray[np.int64], false: NDArray[np.int64], *, positives: int, negatives: int) -> int:
    gained = called * negatives - false * positives
    apart = np.abs(called * negatives - (negatives - false) * positives)
    best = np.flatnonzero(gained == gained.max())
    return int(best[np.argmin(apart[best])])
