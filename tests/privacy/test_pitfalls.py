"""Known ways in which a private engine silently loses its guarantee, and which belong to no one module's tests."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privrad.models.pixels import normalise
from privrad.privacy.gradients import MixedGradients
from privrad.privacy.ledger import Budget, Charge, Ledger
from privrad.privacy.mechanism import Mechanism
from privrad.privacy.plan import Plan

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PLAN = Plan(
    unit="patient",
    population=40,
    expected_batch=12,
    steps=30,
    delta=1e-3,
    clipping_norm=0.7,
    epsilon=2.0,
    noise_multiplier=1.3,
    views=2,
)
IMAGES = list(np.arange(320).reshape(40, 8))
CHARGE = Charge(
    label="study/chest/eps-2/seed-0",
    unit="patient",
    noise_multiplier=3.0,
    sample_rate=0.1,
    steps=10,
    delta=1e-5,
    max_images_per_patient=None,
)
BUDGET = Budget(cohort="ours", epsilon=math.inf, delta=1e-5)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


def test_batches_views_and_noise_follow_from_the_key() -> None:
    def drawn(key: bytes) -> list[list[int]]:
        return [PLAN.batches(key, units=40).batch(step).tolist() for step in range(3)]

    def viewed(key: bytes) -> list[int]:
        return list(PLAN.choices(key, images=IMAGES).rows(0, np.arange(40)).ravel())

    assert drawn(KEY) == drawn(KEY) != drawn(OTHER)
    assert viewed(KEY) == viewed(KEY) != viewed(OTHER)
    assert not np.array_equal(PLAN.noise_of(KEY, 0, 40), PLAN.noise_of(OTHER, 0, 40))


def test_a_step_tells_nothing_but_the_noisy_mean(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    model = nn.Linear(6, 3)
    with (
        caplog.at_level(logging.DEBUG),
        MixedGradients(model, loss=squared, clipping_norm=0.7, views=2) as gradients,
    ):
        mechanism = Mechanism(
            plan=PLAN,
            run_key=KEY,
            gradients=gradients,
            units=IMAGES,
            load=lambda rows: (torch.ones(len(rows), 6), torch.zeros(len(rows), 3)),
            physical_batch=16,
        )
        for step in range(3):
            mechanism.noisy_mean(step)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("shape", [(6, 6), (4, 5, 6)])
def test_an_image_is_normalised_by_itself_alone(shape: tuple[int, ...]) -> None:
    images = torch.arange(3 * math.prod(shape)).view(3, *shape).square().remainder(251)
    for place in range(3):
        assert torch.equal(normalise(images)[place], normalise(images[place : place + 1])[0])


def test_nothing_is_refunded_when_a_run_ends(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "spent.jsonl")
    later = replace(CHARGE, label="study/chest/eps-3/seed-0")
    for run_id, charge in (("declared", CHARGE), ("later", later)):
        entered = ledger.reserve(charge, run_id=run_id, budget=BUDGET, declared=[CHARGE], key_file=None)
        assert entered.declared == (run_id == "declared")
        ledger.finish(run_id)
        ended = ledger.holds(run_id)
        assert ended is not None
        assert ended.spent_epsilon == entered.spent_epsilon


def test_one_unprotected_run_on_a_private_cohort_is_infinite(tmp_path: Path) -> None:
    entered = Ledger(tmp_path / "spent.jsonl").unprotected(
        cohort="ours", sensitivity="private", label="study/chest/eps-inf/seed-0", run_id="a", why="without privacy"
    )
    assert entered.spent_epsilon == math.inf
