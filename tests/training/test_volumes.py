"""CT scans through reservation, training and prediction: as radiographs, but for the network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from privrad import config
from privrad.imaging.shards import open_shards, write_shard
from privrad.training import predict
from privrad.training.binding import Inputs
from tests.training.small import FINDINGS, Cohort, Place, draw

CT: dict[str, Any] = {
    "modality": "ct",
    "cohorts": {
        "private": {
            "id": "scans",
            "layout": "pdac",
            "sensitivity": "synthetic",
            "phantom": {"patients": 1, "style": "private"},
            "labels": dict(zip(FINDINGS, FINDINGS, strict=True)),
        }
    },
    "image": {"size": [16, 16, 8], "window": [-150, 250]},
    "model": {"network": "scale_resnet9", "width": 6, "groups": 3},
    "pretraining": None,
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The small cohort, each radiograph at half its size repeated into eight slices."""
    flat = draw(tmp_path_factory.mktemp("scans") / "private", patients=30, seed=5)
    for path in flat.shards:
        images = open_shards([path])
        pixels = np.repeat(np.asarray(images.take(range(len(images))))[:, None, ::2, ::2], 8, axis=1)
        write_shard(path, pixels=pixels, image_ids=images.image_ids, refused={})
    return flat


def inputs(scans: Cohort) -> Inputs:
    return Inputs(shards=scans.shards, manifest=scans.manifest, assignment=scans.assignment)


def changes() -> dict[str, Any]:
    return {**CT, "training": {"positive_weights": "none"}}


@pytest.mark.parametrize("recipe", ["none", "private", "matched", "without_privacy"])
def test_every_recipe_trains_on_scans_repeats_and_predicts(tmp_path: Path, scans: Cohort, recipe: str) -> None:
    places = [Place(tmp_path / name, inputs(scans), recipe=recipe) for name in ("one", "two")]
    accounts = [place.both(**changes()) for place in places]
    assert places[0].weights == places[1].weights
    assert accounts[0]["training"]["activation"] == "mish"
    weights = places[0].folder / "model.safetensors"
    with safe_open(weights, framework="numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert shapes["front.weight"] == (3, 1, 1, 1, 1)
    assert shapes["head.weight"] == (len(FINDINGS), 4 * 6 * 8)
    if recipe == "private":
        stated = accounts[0]["certificate"]
        assert stated["unit"] == "patient"
        assert stated["nominal_epsilon"] == pytest.approx(2, abs=0.01)
        table = predicted(scans, weights, out=tmp_path / "predictions.parquet")
        assert set(table["split"]) == {"validation", "test"}
        assert table["score"].between(0, 1).all()
        assert table["score"].nunique() > 10


def predicted(scans: Cohort, weights: Path, *, out: Path) -> pd.DataFrame:
    predict.run(
        weights=weights,
        **scans.inputs,  # type: ignore[arg-type]
        model=config.Model.model_validate(CT["model"]),
        arm=config.Arm(name="eps-2", epsilon=2, recipe="private"),
        seed=0,
        performance=config.Performance(device="cpu", threads=1, physical_batch=7),
        out=out,
    )
    return pd.read_parquet(out)


def test_other_shapes_of_the_same_bytes_are_other_images(tmp_path: Path, scans: Cohort) -> None:
    place = Place(tmp_path, inputs(scans))
    before = place.reserve(**changes())
    turned = []
    for path in scans.shards:
        images = open_shards([path])
        pixels = images.take(range(len(images)))
        turned.append(tmp_path / path.name)
        write_shard(
            turned[-1],
            pixels=pixels.reshape(len(images), 16, 8, 16),
            image_ids=images.image_ids,
            refused={},
        )
    assert math.prod(open_shards(turned).shape) == math.prod(open_shards(scans.shards).shape)
    other = Inputs(shards=turned, manifest=scans.manifest, assignment=scans.assignment)
    assert place.reserve(inputs=other, **changes()) != before
