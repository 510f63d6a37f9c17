"""The cut-offs of thresholds.csv, from scikit-learn's ROC curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from privrad.verify.predicted import Predicted, Scored
from privrad.verify.tables import Key

KEYS = ("arm", "seed", "finding", "rule")
FEW = 10


def of(test: Predicted, validation: Predicted | None, *, specificity: float) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The key and columns of every row: `youden` and `specificity` on validation images, `youden_test` on test ones."""
    for (run, finding), held in test.scored.items():
        own = validation.scored.get((run, finding)) if validation else None
        for rule, chosen_on in (("youden", own), ("specificity", own), ("youden_test", held)):
            yield (run[0], str(run[1]), finding, rule), _chosen(chosen_on, rule, specificity)


def _chosen(held: Scored | None, rule: str, specificity: float) -> dict[str, Any]:
    """The cut-off midway between two scores that is best by a rule, and what it reaches.

    Youden: the largest sum of sensitivity and specificity; of equal ones the least distance of the two, then the lowest
    cut-off. Specificity: the lowest cut-off that keeps it.
    """
    none = {"threshold": math.nan, "sensitivity": math.nan, "specificity": math.nan}
    images, positives = (0, 0) if held is None else (len(held.scores), int(held.labels.sum()))
    counts = {"images": images, "positives": positives}
    if held is None or not images:
        return none | counts | {"note": "not estimable: no validation images"}
    if positives in (0, images):
        kind = "negative" if positives else "positive"
        return none | counts | {"note": f"not estimable: no {kind} images to choose on"}
    false_rate, true_rate, scores = roc_curve(held.labels, held.scores, drop_intermediate=False)
    negatives = images - positives
    true, false = np.round(true_rate * positives).astype(int), np.round(false_rate * negatives).astype(int)
    if rule == "specificity":
        best = int(np.flatnonzero((negatives - false) / negatives >= specificity)[-1])
    else:
        gained = true * negatives - false * positives
        apart = abs(true * negatives - (negatives - false) * positives)
        best = max(np.flatnonzero(gained == gained.max()).tolist(), key=lambda place: (-apart[place], place))
    few = min(positives, negatives)
    told = [f"uncertain: chosen on {few} {'positive' if positives == few else 'negative'} images"] * (few < FEW)
    chance = rule != "specificity" and true[best] * negatives <= false[best] * positives
    told += ["uncertain: no cut-off is better than chance"] * bool(chance)
    reached = {"sensitivity": true[best] / positives, "specificity": (negatives - false[best]) / negatives}
    reached = {name: float(value) for name, value in reached.items()}
    return {"threshold": _between(scores, best)} | reached | counts | {"note": "; ".join(told)}


def _between(scores: Any, called: int) -> float:
    """The cut-off at which the first `called` distinct scores, from the highest, are called; `scores[0]` is none."""
    lowest = float(scores[called]) if called else 1.0
    if called == 0 and scores[1] == 1:
        return math.nextafter(1.0, 2.0)
    below = float(scores[called + 1]) if called + 1 < len(scores) else 0.0
    middle = below + (lowest - below) / 2
    return middle if middle > below or called + 1 == len(scores) else lowest
