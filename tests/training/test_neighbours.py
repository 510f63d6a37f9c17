"""The same study with and without one patient, its noise set to zero: only what is tagged as such may differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from privrad.imaging.shards import open_shards, write_shard
from privrad.privacy import certificate as certificates
from privrad.privacy.plan import Plan
from tests.training.small import Cohort

RELEASE: dict[str, Any] = {"privacy": {"noise": "release"}}
OUTPUTS = ("training.json", "certificate.json")
TAGS = ("covered_by_epsilon", "uncovered", "keyed")


def without_one_patient(cohort: Cohort, folder: Path) -> Cohort:
    """The cohort less the first of its training patients who has three images."""
    table, assigned = pd.read_parquet(cohort.manifest), pd.read_parquet(cohort.assignment)
    trained = table[table["patient_id"].isin(assigned.loc[assigned["split"] == "train", "patient_id"])]
    patient = trained.groupby("patient_id").size().eq(3).idxmax()
    folder.mkdir()
    table[table["patient_id"] != patient].to_parquet(folder / "manifest.parquet", index=False)
    assigned[assigned["patient_id"] != patient].to_parquet(folder / "assignment.parquet", index=False)
    gone, shards = set(table.loc[table["patient_id"] == patient, "image_id"]), []
    for path in cohort.shards:
        images = open_shards([path])
        rows = [row for row, name in enumerate(images.image_ids) if name not in gone]
        shards.append(folder / path.name)
        ids = [images.image_ids[row] for row in rows]
        write_shard(shards[-1], pixels=images.take(np.array(rows)), image_ids=ids, refused={})
    return Cohort(shards, folder / "manifest.parquet", folder / "assignment.parquet")


@pytest.mark.parametrize("recipe", ["none", "private", "matched", "without_privacy"])
def test_one_patient_less_shows_in_what_is_tagged_alone(
    recipe: str, place: Callable[..., Any], private: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "noise_of", lambda *_: np.zeros(_[-1], dtype=np.float32))
    whole = place(recipe, name="whole")
    less = place(recipe, name="less", cohort=without_one_patient(private, tmp_path / "cohort"))
    told = [here.both(**RELEASE) for here in (whole, less)]
    one, two = (made["certificate"] for made in told)
    differing = {
        file: different(made_one, made_two)
        for file, made_one, made_two in zip(OUTPUTS, told[0].values(), told[1].values(), strict=True)
    }
    assert [one[tag] for tag in TAGS] == [two[tag] for tag in TAGS]
    assert differing["certificate.json"] <= {path for tag in TAGS for path in one[tag]}
    weights = {path for tag in TAGS[:2] for path in one[tag]}
    assert differing["training.json"] == {path.removeprefix("model.") for path in weights}
    assert (whole.weights == less.weights) == (recipe == "none")
    assert described(whole.folder / "model.safetensors") == described(less.folder / "model.safetensors")


def different(one: dict[str, Any], two: dict[str, Any]) -> set[str]:
    """The dotted paths of all single values that are not alike."""
    first, second = certificates.leaves(one), certificates.leaves(two)
    return {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)}


def described(path: Path) -> Any:
    """All of a weights file but the weights."""
    with safe_open(path, framework="np") as stored:
        shapes = {name: stored.get_tensor(name).shape for name in stored.keys()}  # noqa: SIM118
        return json.loads(stored.metadata()["privrad"]), shapes, path.stat().st_size
