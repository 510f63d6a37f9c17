"""The redraws of a test set by their documented law, and every number on each of them.

Written from docs/statistics.md and docs/verify.md alone, as weighted sums over whole arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Name = tuple[str, str]
"""A metric and the rule of its threshold, "" where it takes none."""
BLOCKS = 100
BINS = 10
ELEMENTS = 4_000_000
"""How many weights are held at once: 32 MiB."""


@dataclass(frozen=True)
class Drawn:
    """One number on the test set, on each redraw, and without each block of units; NaN where not estimable."""

    value: float
    draws: Floats
    left_out: Floats

    def minus(self, other: Drawn) -> Drawn:
        """The difference of two numbers that share their redraws."""
        return Drawn(self.value - other.value, self.draws - other.draws, self.left_out - other.left_out)


@dataclass(frozen=True)
class Weights:
    """How often each unit counts, [1 + redraws + blocks, units]: as it is, on each redraw, without each block."""

    matrix: Floats
    redraws: int

    @property
    def drawn(self) -> slice:
        """The rows of the redraws."""
        return slice(1, 1 + self.redraws)

    @property
    def left_out(self) -> slice:
        """The rows of the jackknife."""
        return slice(1 + self.redraws, None)

    def taken(self, drawn: Floats) -> Drawn:
        """A number's entries on all rows, taken apart."""
        return Drawn(float(drawn[0]), drawn[self.drawn], drawn[self.left_out])


def weigh(units: int, *, redraws: int, seed: int) -> Weights:
    """Draw the weights of a test set of so many units.

    Redraw b takes `default_rng([seed, b]).integers(units, size=units)`. Unit u is in block p[u] % blocks, with
    p = `default_rng([seed, 2**32]).permutation(units)` and at most 100 blocks.
    """
    drawn = [np.random.default_rng([seed, redraw]).integers(units, size=units) for redraw in range(redraws)]
    blocks = min(units, BLOCKS)
    of_unit = np.random.default_rng([seed, 2**32]).permutation(units) % blocks
    rows = [np.ones(units), *(np.bincount(taken, minlength=units) for taken in drawn)]
    rows += [of_unit != block for block in range(blocks)]
    return Weights(np.asarray(rows, dtype=np.float64), redraws)


def ratio(over: Floats, under: Floats) -> Floats:
    """`over / under`, NaN where that is nothing."""
    found = np.full(np.shape(over), np.nan)
    np.divide(over, under, out=found, where=np.asarray(under) > 0)
    return found


def areas(scores: Floats, *, labels: NDArray[np.bool_], units: NDArray[np.intp], weights: Floats) -> dict[Name, Floats]:
    """AUROC and average precision of one entry an image, on every row of `weights`.

    The AUROC is the share of pairs of a positive and a negative image that the scores order, a tie counting half; the
    average precision the mean, over positives, of the precision at their score.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(scores) else np.empty(0, dtype=np.intp)
    positive, unit = labels[order], units[order]
    found = np.full((2, len(weights)), np.nan)
    at_once = max(1, ELEMENTS // max(1, len(scores)))
    for start in range(0, len(weights) if len(scores) else 0, at_once):
        chunk = weights[start : start + at_once][:, unit]
        above = np.cumsum(chunk * positive, axis=1)[:, ends]
        below = np.cumsum(chunk * ~positive, axis=1)[:, ends]
        own = np.diff(above, axis=1, prepend=0.0)
        against = np.diff(below, axis=1, prepend=0.0)
        won = (against * (above - own / 2)).sum(axis=1)
        precise = (own * np.nan_to_num(ratio(above, above + below))).sum(axis=1)
        place = slice(start, start + len(chunk))
        found[0, place] = ratio(won, above[:, -1] * below[:, -1])
        found[1, place] = ratio(precise, above[:, -1])
    return {("auroc", ""): found[0], ("average_precision", ""): found[1]}


def sums(
    scores: Floats,
    *,
    labels: NDArray[np.bool_],
    units: NDArray[np.intp],
    weights: Floats,
    thresholds: Mapping[str, float],
) -> dict[Name, Floats]:
    """All numbers that are ratios of sums over images, on every row of `weights`; those at a threshold by its rule."""

    def total(values: Floats | NDArray[np.bool_]) -> Floats:
        return np.asarray(weights @ np.bincount(units, weights=values, minlength=weights.shape[1]), dtype=np.float64)

    images, positives = total(np.ones(len(scores))), total(labels)
    bins = np.searchsorted(np.arange(1, BINS) / BINS, scores, side="right")
    apart = [np.abs(total((scores - labels) * (bins == place))) for place in range(BINS)]
    found: dict[Name, Floats] = {
        ("brier", ""): ratio(total((scores - labels) ** 2), images),
        ("ece", ""): ratio(np.sum(apart, axis=0), images),
    }
    for rule, threshold in thresholds.items():
        called = scores >= threshold
        if np.isnan(threshold):
            found |= {
                (metric, rule): np.full(len(weights), np.nan) for metric in at_threshold(images, images, images, images)
            }
            continue
        true, false = total(called & labels), total(called & ~labels)
        at = at_threshold(true, false, positives, images - positives)
        found |= {(metric, rule): values for metric, values in at.items()}
    return found


def at_threshold(true: Floats, false: Floats, positives: Floats, negatives: Floats) -> dict[str, Floats]:
    """The numbers of a confusion matrix: true and false positives, all positives, all negatives."""
    sensitivity, specificity = ratio(true, positives), ratio(negatives - false, negatives)
    images, called = positives + negatives, true + false
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": ratio(true + negatives - false, images),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "ppv": ratio(true, called),
        "npv": ratio(negatives - false, images - called),
        "selection_rate": ratio(called, images),
        "fpr": ratio(false, negatives),
        "underdiagnosis": ratio(positives - true, positives),
    }
