"""The tables that an evaluation writes: their columns, and rows as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from privrad import files

OF_MODEL = ("arm", "epsilon", "seed")
COLUMNS: dict[str, Sequence[str]] = {
    "metrics.csv": (
        *OF_MODEL, "finding", "group_by", "group", "metric", "rule", "value", "low", "high", "sd", "pooled_sd",
        "method", "degenerate", "images", "patients", "positives", "positive_patients", "note",
    ),
    "differences.csv": (
        "arm", "reference", "epsilon", "seed", "finding", "group_by", "group", "metric", "value", "low", "high",
        "method", "degenerate", "note",
    ),
    "significance.csv": (
        "arm", "reference", "epsilon", "reference_epsilon", "seed", "finding", "value", "low", "high", "p_bootstrap",
        "p_bootstrap_holm", "delong_z", "p_delong", "p_delong_holm", "p_hanley_mcneil", "margin", "p_noninferior",
        "noninferior", "p_equivalent", "equivalent", "note",
    ),
    "fairness.csv": (
        *OF_MODEL, "finding", "group_by", "group", "metric", "rule", "value", "low", "high", "simultaneous_low",
        "simultaneous_high", "p_simultaneous", "flagged", "images", "patients", "note",
    ),
    "thresholds.csv": (
        "arm", "seed", "finding", "rule", "threshold", "sensitivity", "specificity", "images", "positives", "note",
    ),
    "validation.csv": (
        "arm", "reference", "epsilon", "seed", "images", "patients", "value", "low", "high", "margin", "noninferior",
        "note",
    ),
    "curves.csv": (*OF_MODEL, "finding", "curve", "x", "y", "low", "high"),
    "reliability.csv": (
        *OF_MODEL, "finding", "bin", "from", "upto", "mean_score", "observed", "low", "high", "images", "positives",
    ),
    "scores.csv": (*OF_MODEL, "finding", "label", "bin", "from", "upto", "images"),
    "correlations.csv": ("statistic", "arm", "value", "low", "high", "n", "about"),
    "correlation_points.csv": ("finding", "arm", "auroc", "reference_auroc", "drop", "cases"),
    "seeds.csv": ("arm", "epsilon", "finding", "metric", "trainings", "mean", "sd", "sampling_sd", "note"),
}  # fmt: skip


def text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV text: texts as `files.cell` has them, numbers as Python writes them, to the last bit."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                key: "" if isinstance(value, float) and math.isnan(value) else files.cell(value)
                for key, value in row.items()
            }
        )
    return buffer.getvalue()
