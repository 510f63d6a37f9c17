"""A hundred runs of the whole mechanism, read from nothing but what it gives out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from privrad.privacy.gradients import MixedGradients
from privrad.privacy.mechanism import Mechanism
from privrad.privacy.plan import Plan
from tests.privacy import detectors
from tests.privacy.detectors import ALARM

UNITS, STEPS, RUNS, CLIP = 60, 20, 100, 0.7
PLAN = Plan(
    unit="patient",
    population=UNITS,
    expected_batch=15,
    steps=STEPS,
    delta=1e-3,
    clipping_norm=CLIP,
    epsilon=2.0,
    noise_multiplier=0.05,
)
SIGMA = 0.05 * CLIP


def product(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs * targets).sum(1)


def given_out(plan: Plan) -> tuple[npt.NDArray[np.bool_], list[npt.NDArray[np.float64]]]:
    """Who was drawn in each step of all runs, and the noise of each run.

    Each unit has a weight of its own, to which it alone contributes, the clipping norm if it was drawn; and noise of
    so few standard deviations leaves no doubt whether it was.
    """
    sums: list[npt.NDArray[np.float64]] = []
    inputs, targets = torch.eye(UNITS), torch.full((UNITS, 1), 10.0)
    with MixedGradients(nn.Linear(UNITS, 1, bias=False), loss=product, clipping_norm=CLIP) as gradients:
        for run in range(RUNS):
            mechanism = Mechanism(
                plan=plan,
                run_key=run.to_bytes(32, "big"),
                gradients=gradients,
                units=list(np.arange(UNITS)[:, None]),
                load=lambda rows: (inputs[rows], targets[rows]),
                physical_batch=64,
            )
            steps = [mechanism.noisy_mean(step)[0][0].double().numpy() for step in range(STEPS)]
            sums.append(np.stack(steps) * PLAN.expected_batch)
    drawn = np.concatenate(sums) > CLIP / 2
    return drawn, [own - CLIP * (own > CLIP / 2) for own in sums]


def alarms(plan: Plan) -> set[str]:
    drawn, noise = given_out(plan)
    found = detectors.sampling_alarms(drawn, 0.25)
    together = np.concatenate(noise)
    levels = [detectors.noise_level(own, SIGMA) for own in (*noise, together)]
    found |= {"noise level"} if min(levels) < ALARM else set()
    found |= {"noise law"} if detectors.noise_law(together.ravel(), SIGMA) < ALARM else set()
    found |= {"noise mean"} if detectors.noise_mean(together, SIGMA) < ALARM else set()
    apart = [detectors.noise_apart(own[1:], own[:-1], SIGMA) for own in (*noise, together)]
    return found | ({"steps of noise"} if min(apart) < ALARM else set())


def test_a_hundred_clean_runs_raise_no_alarm() -> None:
    assert alarms(PLAN) == set()


def test_noise_that_is_three_percent_low_or_a_rate_that_is_five_percent_high_raises_one() -> None:
    assert "noise level" in alarms(replace(PLAN, noise_multiplier=0.97 * PLAN.noise_multiplier))
    assert "total" in alarms(replace(PLAN, population=57))
