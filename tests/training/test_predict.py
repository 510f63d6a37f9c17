"""Scores of the images that were held out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad import config
from privrad.training import predict

ARM = config.Arm(name="eps-inf", epsilon=math.inf, recipe="without_privacy", activation="relu")


def test_predictions_hold_both_held_out_splits(tmp_path: Path, private: Any, initial: dict[str, Path]) -> None:
    for name, size in (("first", 16), ("second", 3)):
        predict.run(
            weights=initial["relu"],
            **private.inputs,
            model=config.Model(network="resnet9", width=4, groups=2),
            arm=ARM,
            seed=3,
            performance=config.Performance(device="cpu", threads=1, physical_batch=size),
            out=tmp_path / f"{name}.parquet",
        )
    table, other = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("first", "second"))
    manifest = pd.read_parquet(private.manifest).merge(pd.read_parquet(private.assignment), on="patient_id")
    held_out = manifest[manifest["split"] != "train"]
    assert len(table) == 3 * len(held_out)
    assert list(table.columns) == predict.COLUMNS
    truth = held_out.melt(["image_id", "patient_id", "split"], list(private.findings), "finding", "label")
    joined = table.merge(truth, on=["image_id", "finding"], suffixes=("", "_true"))
    assert len(joined) == len(table)
    assert (joined["label"] == joined["label_true"]).all()
    assert (joined["split"] == joined["split_true"]).all()
    assert table["score"].between(0, 1).all()
    assert np.allclose(table["score"], other["score"], atol=1e-5)
    assert table["epsilon"].eq(math.inf).all()
    assert table["seed"].eq(3).all()
    assert table["label"].dtype == np.int8
    assert str(table["bedside"].dtype) == "boolean"
