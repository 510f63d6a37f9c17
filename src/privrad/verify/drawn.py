"""What curves.csv, reliability.csv and scores.csv say: points by scikit-learn, bands by redraws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from privrad.verify.intervals import percentiles
from privrad.verify.predicted import Predicted, Run, Scored
from privrad.verify.redraws import BINS, Floats, Weights, ratio
from privrad.verify.tables import Key

STEPS = 100
HISTOGRAM_BINS = 20
KEYS = {
    "curves.csv": ("arm", "seed", "finding", "curve", "x"),
    "reliability.csv": ("arm", "seed", "finding", "bin"),
    "scores.csv": ("arm", "seed", "finding", "label", "bin"),
}
Found = Iterator[tuple[str, Key, dict[str, Any]]]


def of(test: Predicted, run: Run, finding: str, *, weights: Weights, confidence: float, bands: bool) -> Found:
    """The file, key and columns of every row of one model and finding; `bands` says whether bands are redrawn."""
    held = test.scored[run, finding]
    units, of_cell = test.units[held.rows], (run[0], str(run[1]), finding)
    epsilon = {"epsilon": test.epsilons[run]}
    ends = _ends(held)
    lines = {"roc": _roc(*ends), "pr": _precision(*ends)}
    for curve, values in lines.items():
        low, high = _bands(held, units, weights, curve, confidence) if bands else (None, None)
        for step in range(STEPS + 1):
            found = epsilon | {"y": float(values[0, step])}
            if low is not None and high is not None:
                found |= {"low": float(low[step]), "high": float(high[step])}
            yield "curves.csv", (*of_cell, curve, str(step / STEPS)), found
    for place, found in _reliability(held, units, weights, confidence):
        yield "reliability.csv", (*of_cell, str(place)), epsilon | found
    edges = np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS
    for label in (False, True):
        counts, _ = np.histogram(held.scores[held.labels == label], bins=edges)
        for place, images in enumerate(counts.tolist()):
            found = {"from": float(edges[place]), "upto": float(edges[place + 1]), "images": images}
            yield "scores.csv", (*of_cell, str(int(label)), str(place)), epsilon | found


def _ends(held: Scored) -> tuple[Floats, Floats]:
    """True and false positives at each distinct score, from the highest, [1, scores]."""
    positives, negatives = int(held.labels.sum()), int((~held.labels).sum())
    if not positives or not negatives:
        scores = np.unique(held.scores)[::-1]
        called = (held.scores[:, None] >= scores).astype(float)
        return (held.labels @ called)[None], (~held.labels @ called)[None]
    false, true, _ = roc_curve(held.labels, held.scores, drop_intermediate=False)
    return np.round(true * positives)[None, 1:], np.round(false * negatives)[None, 1:]


def _roc(true: Floats, false: Floats) -> Floats:
    """Sensitivity at each false-positive rate 0, 0.01 ... 1, on straight lines; of a vertical step its upper end."""
    found = np.full((len(true), STEPS + 1), np.nan)
    true, false = (np.pad(values, ((0, 0), (1, 0))) for values in (true, false))
    positives, negatives = true[:, -1], false[:, -1]
    rows = np.arange(len(true))
    for step in range(STEPS + 1):
        beyond = false * STEPS > (step * negatives)[:, None]
        after = beyond.argmax(axis=1)
        before = np.maximum(after - 1, 0)
        wide = false[rows, after] - false[rows, before]
        share = ratio(step * negatives / STEPS - false[rows, before], wide)
        reached = true[rows, before] + share * (true[rows, after] - true[rows, before])
        found[:, step] = ratio(np.where(beyond.any(axis=1), reached, positives), np.where(negatives > 0, positives, 0))
    return found


def _precision(true: Floats, false: Floats) -> Floats:
    """Precision at the highest score that reaches each recall 0, 0.01 ... 1; at recall 0, that reaches any."""
    found = np.full((len(true), STEPS + 1), np.nan)
    rows, positives = np.arange(len(true)), true[:, -1]
    for step in range(STEPS + 1):
        at = ((true > 0) & (true * STEPS >= (step * positives)[:, None])).argmax(axis=1)
        found[:, step] = np.where(positives > 0, ratio(true[rows, at], true[rows, at] + false[rows, at]), np.nan)
    return found


def _bands(
    held: Scored, units: NDArray[np.intp], weights: Weights, curve: str, confidence: float
) -> tuple[Floats, Floats]:
    """Percentile bounds at each point of a curve alone."""
    order = np.argsort(-held.scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(held.scores[order]) != 0, True))
    lines = []
    for start in range(weights.drawn.start, weights.drawn.stop, 100):
        chunk = weights.matrix[start : min(start + 100, weights.drawn.stop)][:, units[order]]
        true = np.cumsum(chunk * held.labels[order], axis=1)[:, ends]
        false = np.cumsum(chunk * ~held.labels[order], axis=1)[:, ends]
        lines.append(_roc(true, false) if curve == "roc" else _precision(true, false))
    drawn = np.concatenate(lines)
    bounds = [percentiles(drawn[:, step], confidence=confidence) for step in range(STEPS + 1)]
    return np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])


def _reliability(
    held: Scored, units: NDArray[np.intp], weights: Weights, confidence: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each bin with images: mean score and share of positives, which scikit-learn's calibration curve gives, too.

    Its interval is that of the redraws; where the share is 0 or 1, Clopper and Pearson's for the bin's units.
    """
    edges = np.arange(1, BINS) / BINS
    bins = np.digitize(held.scores, edges)
    observed, meant = (
        calibration_curve(held.labels, held.scores, n_bins=BINS) if _same_bins(held.scores, bins) else ((), ())
    )
    for order, place in enumerate(np.unique(bins).tolist()):
        own = bins == place
        images, positives = int(own.sum()), int(held.labels[own].sum())
        share = float(observed[order]) if len(observed) else positives / images
        score = float(meant[order]) if len(meant) else float(held.scores[own].mean())
        summed = [
            weights.matrix[weights.drawn] @ np.bincount(units[kept], minlength=weights.matrix.shape[1])
            for kept in (own & held.labels, own)
        ]
        low, high = percentiles(ratio(summed[0].astype(float), summed[1].astype(float)), confidence=confidence)
        if positives in (0, images):
            clusters = len(np.unique(units[own]))
            exact = binomtest(clusters if positives else 0, clusters).proportion_ci(confidence, method="exact")
            low, high = float(exact.low), float(exact.high)
        found = {"from": place / BINS, "upto": (place + 1) / BINS, "mean_score": score, "observed": share}
        yield place, found | {"low": low, "high": high, "images": images, "positives": positives}


def _same_bins(scores: Floats, bins: NDArray[np.intp]) -> bool:
    """Whether scikit-learn, whose lower edges are out and upper in, deals the scores into the same bins."""
    theirs = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)
    return bool(len(scores)) and not math.isnan(scores[0]) and bool((theirs == bins).all())
