"""The whole evaluation of the paper's test set, from prediction files to all tables.

    python -m bench.evaluation

39,809 test images of 9,000 patients and 12,000 validation images, 8 findings, 7 budgets, sex and five age bands (and
what an evaluation adds by itself: their intersections, the number of findings), 1,000 redraws of patients, all
metrics. The yardstick is scikit-learn's roc_auc_score alone, timed on some cells and redraws of the same files, times
how many there are.
"""

from __future__ import annotations

import json
import math
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from privrad.evaluation import evaluate
from privrad.evaluation.settings import Settings

TEST, VALIDATION, PATIENTS, FINDINGS, REDRAWS = 39_809, 12_000, 12_000, 8, 1000
BUDGETS = (0.29, 0.54, 1.06, 2.04, 4.71, 7.89, math.inf)
GROUPS, TIMED = 8, 20
BOUND_SECONDS, BOUND_GIB = 60, 4


def write(folder: Path) -> list[Path]:
    """One file of predictions a budget."""
    rng = np.random.default_rng(3)
    images = TEST + VALIDATION
    of = np.concatenate([rng.integers(9_000, size=TEST), 9_000 + rng.integers(PATIENTS - 9_000, size=VALIDATION)])
    about = pd.DataFrame({"image_id": [f"{image:032x}" for image in range(images)]})
    about["patient_id"] = [f"{patient:032x}" for patient in of]
    about["split"] = np.where(np.arange(images) < TEST, "test", "validation")
    about["sex"] = np.where(rng.random(PATIENTS) < 0.37, "F", "M")[of]
    about["age"] = rng.normal(65, 15, PATIENTS).clip(1, 99)[of]
    labels = [rng.random(images) < 0.1 + 0.05 * finding for finding in range(FINDINGS)]
    paths = []
    for order, epsilon in enumerate(BUDGETS):
        parts = []
        for finding, present in enumerate(labels):
            score = 1 / (1 + np.exp(2 - rng.normal(size=images) - (1 + 0.1 * order) * present))
            told: dict[str, Any] = {"finding": f"finding_{finding}", "label": present.astype(np.int8), "score": score}
            parts.append(about.assign(**told, arm=f"eps-{epsilon:g}", epsilon=epsilon, seed=0))
        paths.append(folder / f"{order}.parquet")
        pd.concat(parts, ignore_index=True).to_parquet(paths[-1])
    return paths


def by_sklearn(path: Path) -> float:
    """The seconds that roc_auc_score takes for all images of one finding on one redraw, the mean of some."""
    table = pd.read_parquet(path, filters=[("finding", "==", "finding_0"), ("split", "==", "test")])
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    rng = np.random.default_rng(0)
    taken = [rng.integers(len(labels), size=len(labels)) for _ in range(TIMED)]
    start = time.perf_counter()
    for rows in taken:
        roc_auc_score(labels[rows], scores[rows])
    return (time.perf_counter() - start) / TIMED


def main() -> None:
    """Measure once, files and compilation included, and print one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        start = time.perf_counter()
        evaluate.run(paths, settings=Settings(redraws=REDRAWS), out=Path(folder) / "evaluate")
        taken = time.perf_counter() - start
        rows = sum(1 for _ in (Path(folder) / "evaluate" / "metrics.csv").open()) - 1
        yardstick = by_sklearn(paths[0]) * REDRAWS * FINDINGS * len(BUDGETS) * 3
    result = {
        "claim": "all numbers of the paper's test set in at most 60 seconds and 4 GiB on 2 cores",
        "size": [REDRAWS, FINDINGS, GROUPS, len(BUDGETS), TEST],
        "seconds": round(taken, 1),
        "bound": BOUND_SECONDS,
        "yardstick_seconds": round(yardstick),
        "ratio": round(taken / yardstick, 5),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "gib_before": round(before, 2),
        "bound_gib": BOUND_GIB,
        "numbers": rows,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
