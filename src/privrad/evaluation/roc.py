"""The bootstrap engine: what one model says of one finding in one group, measured on all redraws in one pass.

Images are sorted by score once. A redraw is a row of weights, one for each unit (patient); one pass over the images
keeps running counts of many redraws at a time, side by side in memory, and all numbers come from these counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

if TYPE_CHECKING:
    from privrad.evaluation.redraws import Weights

Floats = NDArray[np.float64]
BINS = 10
SLAB = 256
CORES = numba.get_num_threads()
ALONE = 20_000_000
AT_THRESHOLD = (
    *("sensitivity", "specificity", "accuracy", "balanced_accuracy"),
    *("ppv", "npv", "selection_rate", "fpr", "underdiagnosis"),
)


@dataclass(frozen=True)
class Ranking:
    """The images of one cell in descending order of score: score, unit and label of each.

    `closes` is 1 at the last image of each distinct score: images of equal score are taken together.
    """

    scores: Floats
    units: NDArray[np.int32]
    positive: NDArray[np.uint8]
    closes: NDArray[np.uint8]

    def within(self, kept: NDArray[np.bool_]) -> Ranking:
        """The part of the images that a mask, in the order of the ranking, keeps."""
        return _ranked(self.scores[kept], self.units[kept], self.positive[kept])

    def above(self, threshold: float) -> int:
        """How many images score at or above a threshold."""
        return int(np.searchsorted(-self.scores, -threshold, side="right"))


def use(threads: int | None) -> None:
    """Take at most this many cores, None for all; no result depends on it."""
    numba.set_num_threads(max(1, min(threads or CORES, CORES)))


def rank(scores: Floats, *, labels: NDArray[np.bool_], units: NDArray[np.int32]) -> tuple[Ranking, NDArray[np.intp]]:
    """Sort the images of a cell, given one entry an image, and tell the order that they were put in."""
    order = np.argsort(-scores, kind="stable")
    return _ranked(scores[order], units[order], labels[order].astype(np.uint8)), order


def _ranked(scores: Floats, units: NDArray[np.int32], positive: NDArray[np.uint8]) -> Ranking:
    closes = np.ones(len(scores), dtype=np.uint8)
    closes[:-1] = scores[1:] != scores[:-1]
    return Ranking(scores, units.astype(np.int32), positive, closes)


def auroc(ranking: Ranking, weights: Weights) -> Floats:
    """The AUROC of every row of the weights: P(positive above negative) + P(equal) / 2.

    Whole numbers below 2**53 are counted, so exact under ties; NaN where a row has no positive or no negative image.
    Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947).
    """
    areas = _areas_together if worth_it(ranking, rows=weights.rows) else _areas_alone
    found = areas(ranking.units, ranking.positive, ranking.closes, weights.slabs)
    return np.asarray(found)[: weights.rows]


def measure(
    ranking: Ranking, weights: Weights, *, thresholds: Sequence[float]
) -> tuple[dict[str, Floats], list[dict[str, Floats]]]:
    """Every number of a cell on every row of the weights: those of the ranking, and those at each threshold.

    Of the ranking: auroc; average_precision (precision at each distinct score, weighted by the recall gained there);
    brier, the mean squared error of the score; ece, the mean distance of mean score and share of positives over ten
    equally wide bins of the score, weighted by images. At a threshold, at or above which an image is called positive:
    AT_THRESHOLD. NaN where a row cannot give the number.
    """
    ends = [ranking.above(edge / BINS) for edge in range(BINS - 1, 0, -1)]
    cuts = [ranking.above(threshold) for threshold in thresholds]
    stops = np.array(sorted({*ends, *cuts, len(ranking.scores)}), dtype=np.int64)
    in_one_pass = _pass_together if worth_it(ranking, rows=weights.rows) else _pass_alone
    areas, passed = in_one_pass(ranking.scores, ranking.units, ranking.positive, ranking.closes, weights.slabs, stops)
    areas, passed = areas[: weights.rows], passed[: weights.rows]
    positives, negatives = passed[:, -1, 0], passed[:, -1, 1]
    images = positives + negatives
    found = {
        "auroc": _ratio(areas[:, 0], 2 * positives * negatives),
        "average_precision": _ratio(areas[:, 1], positives),
        "brier": _ratio(areas[:, 2], images),
        "ece": _ratio(_miscalibration(passed[:, np.searchsorted(stops, [*ends, len(ranking.scores)])]), images),
    }
    return found, [_at_threshold(passed, int(np.searchsorted(stops, cut)), cut) for cut in cuts]


def _miscalibration(passed: Floats) -> Floats:
    """The summed distance of scores and positives over bins, from what has passed at the end of each."""
    own = np.diff(passed, axis=1, prepend=0)
    return np.asarray(np.abs(own[..., 2] - own[..., 0]).sum(axis=1))


def _at_threshold(passed: Floats, place: int, cut: int) -> dict[str, Floats]:
    called = passed[:, place] if cut else np.zeros_like(passed[:, -1])
    positives, negatives = passed[:, -1, 0], passed[:, -1, 1]
    true_positive, false_positive = called[:, 0], called[:, 1]
    true_negative, images = negatives - false_positive, positives + negatives
    sensitivity, specificity = _ratio(true_positive, positives), _ratio(true_negative, negatives)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": _ratio(true_positive + true_negative, images),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "ppv": _ratio(true_positive, true_positive + false_positive),
        "npv": _ratio(true_negative, images - true_positive - false_positive),
        "selection_rate": _ratio(true_positive + false_positive, images),
        "fpr": _ratio(false_positive, negatives),
        "underdiagnosis": _ratio(positives - true_positive, positives),
    }


def _ratio(over: Floats, under: Floats) -> Floats:
    found = np.full(len(over), np.nan)
    np.divide(over, under, out=found, where=under > 0)
    return found


def worth_it(ranking: Ranking, *, rows: int) -> bool:
    """Whether there is so much to do that waking the other cores is worth its time."""
    return len(ranking.scores) * rows > ALONE


def _areas(units, positive, closes, slabs):  # type: ignore[no-untyped-def]
    """The AUROC of each row of the slabs [slabs, units, SLAB]."""
    areas = np.full(slabs.shape[0] * SLAB, np.nan)
    for slab in prange(slabs.shape[0]):
        won, positives, negatives, weight = np.zeros(SLAB), np.zeros(SLAB), np.zeros(SLAB), np.zeros(SLAB)
        tied_positives, tied_negatives = np.zeros(SLAB), np.zeros(SLAB)
        tied = False
        for place in range(len(units)):
            drawn = slabs[slab, units[place]]
            for row in range(SLAB):
                weight[row] = drawn[row]
            if closes[place] and not tied:
                if positive[place]:
                    for row in range(SLAB):
                        positives[row] += weight[row]
                else:
                    for row in range(SLAB):
                        won[row] += weight[row] * (2 * positives[row])
                        negatives[row] += weight[row]
                continue
            tied = not closes[place]
            if positive[place]:
                for row in range(SLAB):
                    tied_positives[row] += weight[row]
            else:
                for row in range(SLAB):
                    tied_negatives[row] += weight[row]
            if closes[place]:
                for row in range(SLAB):
                    won[row] += tied_negatives[row] * (2 * positives[row] + tied_positives[row])
                    positives[row] += tied_positives[row]
                    negatives[row] += tied_negatives[row]
                    tied_positives[row] = 0.0
                    tied_negatives[row] = 0.0
        for row in range(SLAB):
            if positives[row] > 0 and negatives[row] > 0:
                areas[slab * SLAB + row] = won[row] / (2 * positives[row] * negatives[row])
    return areas


def _pass(scores, units, positive, closes, slabs, stops):  # type: ignore[no-untyped-def]
    """Twice the pairs won, precision summed over positives, and squared errors; then, up to each stop, positives,
    negatives and summed scores: of each row of the slabs [slabs, units, SLAB]."""
    areas = np.zeros((slabs.shape[0] * SLAB, 3))
    passed = np.zeros((slabs.shape[0] * SLAB, len(stops), 3))
    for slab in prange(slabs.shape[0]):
        first = slab * SLAB
        won, positives, negatives, weight = np.zeros(SLAB), np.zeros(SLAB), np.zeros(SLAB), np.zeros(SLAB)
        tied_positives, tied_negatives = np.zeros(SLAB), np.zeros(SLAB)
        precision, squared, summed = np.zeros(SLAB), np.zeros(SLAB), np.zeros(SLAB)
        start = 0
        tied = False
        for order in range(len(stops)):
            for place in range(start, stops[order]):
                drawn = slabs[slab, units[place]]
                for row in range(SLAB):
                    weight[row] = drawn[row]
                score = scores[place]
                off = (score - positive[place]) * (score - positive[place])
                for row in range(SLAB):
                    summed[row] += weight[row] * score
                    squared[row] += weight[row] * off
                if closes[place] and not tied:
                    if positive[place]:
                        for row in range(SLAB):
                            positives[row] += weight[row]
                            precision[row] += weight[row] * (positives[row] / max(1.0, positives[row] + negatives[row]))
                    else:
                        for row in range(SLAB):
                            won[row] += weight[row] * (2 * positives[row])
                            negatives[row] += weight[row]
                    continue
                tied = not closes[place]
                if positive[place]:
                    for row in range(SLAB):
                        tied_positives[row] += weight[row]
                else:
                    for row in range(SLAB):
                        tied_negatives[row] += weight[row]
                if closes[place]:
                    for row in range(SLAB):
                        won[row] += tied_negatives[row] * (2 * positives[row] + tied_positives[row])
                        positives[row] += tied_positives[row]
                        negatives[row] += tied_negatives[row]
                        called = max(1.0, positives[row] + negatives[row])
                        precision[row] += tied_positives[row] * (positives[row] / called)
                        tied_positives[row] = 0.0
                        tied_negatives[row] = 0.0
            start = stops[order]
            for row in range(SLAB):
                passed[first + row, order, 0] = positives[row]
                passed[first + row, order, 1] = negatives[row]
                passed[first + row, order, 2] = summed[row]
        for row in range(SLAB):
            areas[first + row, 0] = won[row]
            areas[first + row, 1] = precision[row]
            areas[first + row, 2] = squared[row]
    return areas, passed


_areas_alone, _areas_together = njit(cache=True)(_areas), njit(parallel=True, cache=True)(_areas)
_pass_alone, _pass_together = njit(cache=True)(_pass), njit(parallel=True, cache=True)(_pass)
