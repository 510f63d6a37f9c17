"""Joining, augmenting, weighting and storing: the parts of a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from privrad import config
from privrad.imaging.shards import open_shards
from privrad.training import augment, checkpoint, data, loss
from privrad.training.session import computing

FINDINGS = ("cardiomegaly", "effusion_right", "effusion_left")


@pytest.fixture
def part(private: Any) -> data.Part:
    images = open_shards(private.shards)
    return data.load(images, manifest=private.manifest, assignment=private.assignment, findings=FINDINGS, split="train")


def test_a_part_joins_pixels_and_labels_by_image(part: data.Part, private: Any) -> None:
    table = pd.read_parquet(private.manifest).set_index("image_id")
    for position in range(0, len(part), 7):
        image_id = part.table["image_id"][position]
        assert part.images.image_ids[part.rows[position]] == image_id
        assert part.targets(np.array([position])).tolist() == [
            table.loc[image_id, list(FINDINGS)].astype(float).tolist()
        ]
        own = open_shards(private.shards)
        assert np.array_equal(
            part.pixels(np.array([position]))[0].numpy(), own.take([own.image_ids.index(image_id)])[0]
        )


def test_only_the_splits_own_patients_are_in_it(part: data.Part, private: Any) -> None:
    assignment = pd.read_parquet(private.assignment).set_index("patient_id")["split"]
    assert set(assignment[part.table["patient_id"]]) == {"train"}
    assert part.table["patient_id"].nunique() == (assignment == "train").sum()


def test_patients_are_units_that_partition_the_images(part: data.Part) -> None:
    units = part.units("patient")
    assert sorted(np.concatenate(units)) == list(range(len(part)))
    for positions in units:
        assert part.table["patient_id"].iloc[positions].nunique() == 1
    assert len(units) == part.table["patient_id"].nunique()
    assert {len(positions) for positions in units} == {1, 2, 3}
    assert [positions.tolist() for positions in part.units("record")] == [[place] for place in range(len(part))]


def test_images_that_were_refused_are_left_out(private: Any) -> None:
    images = open_shards(private.shards[:1])
    table = data.load(
        images, manifest=private.manifest, assignment=private.assignment, findings=FINDINGS, split="train"
    ).table
    assert len(table) > 0
    assert set(table["image_id"]) <= set(images.image_ids)


def test_labels_other_than_0_and_1_are_refused(private: Any, tmp_path: Path) -> None:
    pd.read_parquet(private.manifest).assign(cardiomegaly=2).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(ValueError, match="labels other than 0 and 1"):
        data.tabulate(tmp_path / "manifest.parquet", private.assignment, findings=FINDINGS, split="train")


def test_a_split_that_does_not_name_each_patient_once_is_refused(private: Any, tmp_path: Path) -> None:
    whole = pd.read_parquet(private.assignment)
    twice = pd.concat([whole, whole.iloc[:1].assign(split="test")])
    for name, table in (("twice", twice), ("lacking", whole.iloc[1:])):
        table.to_parquet(tmp_path / f"{name}.parquet")
        with pytest.raises(ValueError, match=rf"{name}\.parquet must name each patient"):
            data.tabulate(private.manifest, tmp_path / f"{name}.parquet", findings=FINDINGS, split="train")


def views(mirrored: list[bool], degrees: list[float]) -> augment.Views:
    return augment.Views(np.array(mirrored), np.array(degrees, dtype=np.float32))


def test_a_mirrored_image_swaps_left_and_right_labels() -> None:
    images = torch.arange(2 * 4 * 4, dtype=torch.uint8).view(2, 4, 4)
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    pixels, swapped = augment.apply(
        images, labels, views=views([True, False], [0, 0]), partners=augment.partners(FINDINGS)
    )
    assert torch.equal(pixels[0], images[0].flip(1).float())
    assert torch.equal(pixels[1], images[1].float())
    assert swapped.tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]


def test_a_quarter_turn_moves_every_pixel_where_it_belongs() -> None:
    image = torch.arange(25.0).view(1, 5, 5)
    turned, _ = augment.apply(image, torch.zeros(1, 1), views=views([False], [90]), partners=[0])
    assert torch.allclose(turned[0], torch.rot90(image[0], 1), atol=1e-3)


def test_a_small_turn_keeps_the_centre_and_blackens_the_corners() -> None:
    turned, _ = augment.apply(
        torch.full((1, 33, 33), 200.0), torch.zeros(1, 1), views=views([False], [10]), partners=[0]
    )
    assert torch.allclose(turned[0, 8:25, 8:25], torch.full((17, 17), 200.0), atol=1e-2)
    assert float(turned[0, 0, 0]) < 100


def test_views_have_their_law_and_repeat() -> None:
    drawn = augment.draw(20_000, augmentation=config.Augmentation(), generator=np.random.default_rng(1))
    again = augment.draw(20_000, augmentation=config.Augmentation(), generator=np.random.default_rng(1))
    assert drawn.mirrored.mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(drawn.degrees).max() <= 10
    assert drawn.degrees.std() == pytest.approx(20 / math.sqrt(12), rel=0.03)
    assert np.array_equal(drawn.degrees, again.degrees)
    assert np.array_equal(drawn.mirrored, again.mirrored)


def test_partners_are_mutual_and_a_lonely_side_is_named() -> None:
    assert augment.partners(("a_right", "b", "a_left")) == [2, 1, 0]
    with pytest.raises(ValueError, match="finding a_right has no a_left"):
        augment.partners(("a_right", "b"))


def test_the_loss_is_the_mean_over_findings_with_weighted_positives() -> None:
    logits, labels = torch.tensor([[0.3, -1.0], [2.0, 0.1]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = loss.weighted(torch.tensor([3.0, 5.0]))(logits, labels)
    p = torch.sigmoid(logits)
    expected = torch.stack(
        [(-3 * p[0, 0].log() - (1 - p[0, 1]).log()) / 2, (-(1 - p[1, 0]).log() - 5 * p[1, 1].log()) / 2]
    )
    assert torch.allclose(found, expected)


def test_inverse_frequencies(caplog: pytest.LogCaptureFixture) -> None:
    table = pd.DataFrame({"a": [1, 0, 0, 0], "b": [1, 1, 1, 1], "c": [0, 0, 0, 0]})
    assert loss.inverse_frequencies(table, findings=("a", "b", "c")) == {"a": 3.0, "b": 1.0, "c": 1.0}
    assert "finding b is always" in caplog.text
    assert "finding c is never" in caplog.text


def architecture(**changes: Any) -> checkpoint.Architecture:
    settings: dict[str, Any] = {"network": "resnet9", "width": 4, "groups": 2, "activation": "mish"}
    settings["findings"] = FINDINGS
    return checkpoint.Architecture(**(settings | changes))


def test_weights_survive_the_file_and_same_weights_give_same_bytes(tmp_path: Path) -> None:
    model = architecture().build(seed=1)
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, model, architecture=architecture())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = checkpoint.load(tmp_path / "a", architecture=architecture())
    for (name, one), (other, two) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"network": "resnet18"}, "network resnet9, and resnet18 is asked for"),
        ({"width": 8}, "width 4, and 8"),
        ({"groups": 4}, "groups 2, and 4"),
        ({"activation": "relu"}, "activation mish, and relu"),
        ({"findings": ("cardiomegaly",)}, "findings"),
    ],
)
def test_weights_of_another_architecture_are_refused(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "weights", architecture().build(), architecture=architecture())
    with pytest.raises(ValueError, match=named):
        checkpoint.load(tmp_path / "weights", architecture=architecture(**change))


def test_damaged_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "weights"
    checkpoint.save(path, architecture().build(), architecture=architecture())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load(path, architecture=architecture())
    for said in ({}, {"privrad": "{"}, {"privrad": "[]"}):
        save_file({"x": torch.zeros(1)}, path, metadata=said)
        with pytest.raises(ValueError, match="do not say what network"):
            checkpoint.load(path, architecture=architecture())


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    model = architecture().build()
    with torch.no_grad():
        model.get_parameter("head.bias")[1] = float("nan")
    with pytest.raises(ValueError, match=r"head\.bias"):
        checkpoint.save(tmp_path / "weights", model, architecture=architecture())
    assert list(tmp_path.iterdir()) == []


def test_a_session_sets_threads_and_puts_them_back() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with computing(config.Performance(device="cpu", threads=before[0] + 1)) as device:
        assert device.type == "cpu"
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"performance\.device cuda"), computing(config.Performance(device="cuda")):
        pass
