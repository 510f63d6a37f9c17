"""Score the validation and test images of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from privrad import config, files
from privrad.imaging.shards import open_shards
from privrad.models.slabs import is_large
from privrad.training import checkpoint, data
from privrad.training.scores import score
from privrad.training.session import computing

SPLITS: tuple[data.Split, ...] = ("validation", "test")


def run(
    *,
    weights: Path,
    shards: Sequence[Path],
    manifest: Path,
    assignment: Path,
    findings: Sequence[str],
    model: config.Model,
    arm: config.Arm,
    seed: int,
    performance: config.Performance,
    out: Path,
) -> None:
    """Write one row an image and finding, in the order of split, image and finding, as Parquet.

    Columns: image_id, patient_id, finding, label, score (a probability), split, sex, age in years, bedside, arm,
    epsilon, seed. A split without images has no rows, the test split excepted. Raises ValueError for files that do not
    fit together and for a test split without prepared images.
    """
    images = open_shards(shards)
    architecture = checkpoint.Architecture.of(model, activation=arm.activation, findings=findings)
    tables = []
    with computing(performance, large=is_large(images.shape)) as device:
        network = checkpoint.load(weights, architecture=architecture).to(device)
        for split in SPLITS:
            part = data.load(images, manifest=manifest, assignment=assignment, findings=findings, split=split)
            if not len(part):
                continue
            scores = score(network, part, device=device, physical_batch=performance.physical_batch)
            tables.append(_long(part, scores, findings).assign(split=split))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(arm=arm.name, epsilon=float(arm.epsilon), seed=np.int64(seed))
    with files.atomic(out) as temporary:
        table[COLUMNS].to_parquet(temporary, index=False)


IMAGE = ["image_id", "patient_id"]
PERSON = ["sex", "age", "bedside"]
COLUMNS = [*IMAGE, "finding", "label", "score", "split", *PERSON, "arm", "epsilon", "seed"]


def _long(part: data.Part, scores: np.ndarray, findings: Sequence[str]) -> pd.DataFrame:
    repeated = part.table[[*IMAGE, *PERSON]].loc[np.repeat(np.arange(len(part)), len(findings))]
    return repeated.reset_index(drop=True).assign(
        finding=np.tile(list(findings), len(part)),
        label=part.labels.reshape(-1).astype(np.int8),
        score=scores.reshape(-1),
    )
