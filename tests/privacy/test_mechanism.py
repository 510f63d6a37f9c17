"""The plan holds sampling, clipping, noise and accounting together; a step is their sum over a constant."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privrad.privacy import accounting, layers
from privrad.privacy.gradients import Gradients, MixedGradients
from privrad.privacy.mechanism import Mechanism, Ranks, gradients_of
from privrad.privacy.plan import Plan
from privrad.privacy.reference import OpacusGradients
from tests.privacy.loops import apart, flat

KEY = bytes(range(32))
SETTINGS = {
    "unit": "patient",
    "population": 40,
    "expected_batch": 8,
    "steps": 30,
    "delta": 1e-3,
    "clipping_norm": 0.7,
    "epsilon": 2.0,
    "noise_multiplier": 1.3,
}


def plan(**changes: object) -> Plan:
    return Plan(**(SETTINGS | changes))  # type: ignore[arg-type]


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1)


INPUTS = torch.randn(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
UNITS = np.split(np.arange(60), 30)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, 2).double()


@pytest.fixture(params=["mixed", "opacus"])
def gradients(request: pytest.FixtureRequest, model: nn.Module) -> Iterator[Gradients]:
    with gradients_of(model, plan=plan(clipping=request.param), loss=squared) as opened:
        yield opened


def mechanism(
    gradients: Gradients,
    *,
    units: Sequence[np.ndarray] = UNITS,
    physical_batch: int = 4,
    ranks: Ranks | None = None,
    **changes: object,
) -> Mechanism:
    def load(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        assert len(rows) <= max(physical_batch, gradients.views)
        return INPUTS[rows], TARGETS[rows]

    return Mechanism(
        plan=plan(**changes),
        run_key=KEY,
        gradients=gradients,
        units=units,
        load=load,
        physical_batch=physical_batch,
        ranks=ranks or Ranks(),
    )


def test_a_step_is_the_clipped_sum_plus_noise_over_the_expected_batch(gradients: Gradients) -> None:
    found = flat(mechanism(gradients).noisy_mean(3))
    own = plan()
    batch = own.batches(KEY, units=30).batch(3)
    rows = own.choices(KEY, images=UNITS).rows(3, batch)[:, 0]
    assert 0 < len(batch) < 30
    gradients.add(INPUTS[rows], TARGETS[rows])
    noise = torch.from_numpy(own.noise_of(KEY, 3, 12))
    assert torch.allclose(found, (flat(gradients.take()) + noise) / 8, rtol=1e-9)


def test_the_physical_batch_changes_rounding_alone(gradients: Gradients) -> None:
    one, all_at_once = (flat(mechanism(gradients, physical_batch=size).noisy_mean(0)) for size in (1, 64))
    assert torch.allclose(one, all_at_once, rtol=1e-12)


def test_an_empty_batch_adds_noise_over_the_same_divisor(gradients: Gradients) -> None:
    found = flat(mechanism(gradients, units=[]).noisy_mean(5))
    assert torch.allclose(found, torch.from_numpy(plan().noise_of(KEY, 5, 12)).double() / 8)
    assert bool(found.all())


def test_the_noise_that_is_added_has_the_plans_level_to_well_within_one_percent() -> None:
    with MixedGradients(nn.Linear(500, 200), loss=squared, clipping_norm=0.7) as wide:
        empty = mechanism(wide, units=[])
        draws = torch.stack([flat(empty.noisy_mean(step)) for step in range(10)]).double()
    expected, bound = 1.3 * 0.7 / 8, 5 / math.sqrt(2 * draws.numel())
    assert bound < 0.004
    assert float(draws.std()) == pytest.approx(expected, rel=bound)
    assert abs(float(draws.mean())) < 5 * expected / math.sqrt(draws.numel())


def test_one_patient_more_moves_the_sum_by_at_most_the_clipping_norm(gradients: Gradients) -> None:
    for step in range(30):
        with_all = flat(mechanism(gradients).noisy_mean(step))
        without_last = flat(mechanism(gradients, units=UNITS[:-1]).noisy_mean(step))
        assert float((with_all - without_last).norm()) <= 0.7 / 8 * (1 + 1e-6)


def test_an_interrupted_step_leaves_nothing_in_the_next(gradients: Gradients) -> None:
    expected = flat(mechanism(gradients, physical_batch=1).noisy_mean(1))
    whole = mechanism(gradients, physical_batch=1)
    loads = iter([True, False])

    def failing(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        if next(loads):
            return whole.load(rows)
        raise OSError("the disk is gone")

    broken = replace(whole, load=failing)
    with pytest.raises(OSError, match="disk"):
        broken.noisy_mean(0)
    broken.load = whole.load
    assert torch.equal(flat(broken.noisy_mean(1)), expected)


def test_steps_are_asked_for_in_rising_order_from_anywhere(gradients: Gradients) -> None:
    running = mechanism(gradients)
    found = {step: flat(running.noisy_mean(step)) for step in (3, 4, 9)}
    for step in (9, 4, 0):
        with pytest.raises(ValueError, match=f"step {step} must be above 9, the last one asked for; its noise is used"):
            running.noisy_mean(step)
    for step in (4, 9):
        assert torch.equal(flat(mechanism(gradients).noisy_mean(step)), found[step])


def test_a_step_that_failed_is_not_asked_for_again(gradients: Gradients) -> None:
    def failing(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        raise OSError("the disk is gone")

    running = replace(mechanism(gradients), load=failing)
    with pytest.raises(OSError, match="disk"):
        running.noisy_mean(2)
    with pytest.raises(ValueError, match="step 2 must be above 2"):
        running.noisy_mean(2)


class Watched(MixedGradients):
    """Notes how many units are added at once, and how many of them are padding."""

    def add(self, inputs: Tensor, targets: Tensor, *, padding: int = 0) -> None:
        self.added = [*getattr(self, "added", []), (len(inputs) // self.views, padding)]
        super().add(inputs, targets, padding=padding)


@pytest.mark.parametrize(("physical_batch", "views"), [(4, 1), (8, 1), (32, 1), (64, 2), (50, 1), (1, 3), (512, 1)])
def test_batches_are_cut_into_a_few_fixed_sizes_and_padding_is_counted_out(physical_batch: int, views: int) -> None:
    size = max(1, physical_batch // views)
    allowed = {size} | {size >> halving for halving in range(20) if size >> halving >= 8}
    everyone = np.split(np.tile(np.arange(60), 10), 300)
    with Watched(nn.Linear(5, 2).double(), loss=squared, clipping_norm=0.7, views=views) as watched:
        running = mechanism(watched, units=everyone, physical_batch=physical_batch, views=views)
        for step in range(30):
            watched.added = []
            found = flat(running.noisy_mean(step))
            sizes, paddings = zip(*watched.added, strict=True)
            batch = running.batch(step)
            assert sum(sizes) - sum(paddings) == len(batch)
            assert set(sizes) <= allowed
            assert list(sizes) == sorted(sizes, reverse=True)
            assert not any(paddings[:-1])
            assert paddings[-1] < sizes[-1]
            assert paddings[-1] <= sizes[-1] // 2 or sizes[-1] // 2 < 8
            rows = running.plan.choices(KEY, images=everyone).rows(step, batch).reshape(-1)
            watched.add(INPUTS[rows], TARGETS[rows])
            noise = torch.from_numpy(running.plan.noise_of(KEY, step, 12))
            assert apart(found, (flat(watched.take()) + noise) / 8) < 1e-9


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_ranks_share_each_unit_of_a_batch_once(world: int) -> None:
    shares = [Ranks(rank=rank, world=world) for rank in range(world)]
    for units in (0, 1, 3, 12, 13):
        rows = np.arange(2 * units).reshape(units, 2)
        parts = [ranks.share(rows) for ranks in shares]
        assert np.array_equal(np.sort(np.concatenate(parts), axis=0), rows)
        assert max(len(part) for part in parts) - min(len(part) for part in parts) <= 1


@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_sum_over_ranks_is_the_sum_of_one(gradients: Gradients, world: int) -> None:
    alone, own = mechanism(gradients), plan()
    for step in (0, 1):
        total = torch.zeros(12, dtype=torch.float64)
        for rank in range(world):
            rows = own.choices(KEY, images=UNITS).rows(step, alone.batch(step))
            part = Ranks(rank=rank, world=world).share(rows).reshape(-1)
            gradients.add(INPUTS[part], TARGETS[part])
            total += flat(gradients.take())
        noise = torch.from_numpy(own.noise_of(KEY, step, 12))
        assert apart(flat(alone.noisy_mean(step)), (total + noise) / 8) < 1e-9


def test_noise_is_added_once_and_after_the_sum_over_ranks(
    gradients: Gradients, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced: list[Tensor] = []

    def all_reduce(buffer: Tensor) -> None:
        reduced.append(buffer.clone())
        buffer *= 3

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    shared = mechanism(gradients, ranks=Ranks(rank=1, world=2))
    found, own = flat(shared.noisy_mean(0)), plan()
    rows = own.choices(KEY, images=UNITS).rows(0, shared.batch(0))[1::2, 0]
    gradients.add(INPUTS[rows], TARGETS[rows])
    part, noise = flat(gradients.take()), torch.from_numpy(own.noise_of(KEY, 0, 12))
    assert len(reduced) == 1
    assert apart(reduced[0], part) < 1e-9
    assert apart(found, (3 * part + noise) / 8) < 1e-9


@pytest.mark.parametrize(("rank", "world"), [(1, 1), (-1, 2), (2, 2), (0, 0)])
def test_a_rank_outside_its_world_is_refused(rank: int, world: int) -> None:
    with pytest.raises(ValueError, match=rf"rank {rank} must lie in \[0, {world}\)"):
        Ranks(rank=rank, world=world)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 2))


def test_the_engine_is_the_plans(model: nn.Module) -> None:
    with gradients_of(model, plan=plan(clipping="opacus"), loss=squared) as reference:
        assert type(reference) is OpacusGradients
    for changes in ({"precision": "bfloat16", "views": 2}, {"noise": "reproducible"}):
        own = plan(**changes)
        with gradients_of(small(), plan=own, loss=squared, methods={"0": "gram"}) as engine:
            engine.add(torch.ones(4, 1, 3, 3), torch.ones(4, 2))
            assert isinstance(engine, MixedGradients)
            assert engine.methods == {"0": "gram"}
            assert (engine.views, engine.clipping_norm, engine.loss) == (own.views, 0.7, squared)


def test_the_precision_is_the_plans() -> None:
    inputs, targets = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0)), torch.ones(4, 2)
    sums = {}
    for precision in ("float32", "bfloat16"):
        with gradients_of(small(), plan=plan(precision=precision), loss=squared) as engine:
            engine.add(inputs, targets)
            sums[precision] = flat(engine.take())
    assert 1e-4 < apart(sums["bfloat16"], sums["float32"]) < 0.1


def test_methods_are_timed_for_release_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "by_time", lambda *_: "loop")
    monkeypatch.setattr(layers, "by_count", lambda *_: "ghost")
    for noise, method in (("release", "loop"), ("reproducible", "ghost")):
        with gradients_of(small(), plan=plan(noise=noise), loss=squared) as engine:
            engine.add(torch.ones(4, 1, 3, 3), torch.ones(4, 2))
            assert isinstance(engine, MixedGradients)
            assert engine.methods == {"0": method}


def test_a_sum_that_is_not_finite_is_refused(gradients: Gradients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "take", lambda: [torch.full((2, 5), math.inf), torch.zeros(2)])
    with pytest.raises(ValueError, match="not finite at step 0; lower the learning rate"):
        mechanism(gradients).noisy_mean(0)


def test_rate_and_divisor_come_from_the_plan_and_not_from_the_units_present(gradients: Gradients) -> None:
    own = plan()
    assert own.sample_rate == 0.2
    for units in (10, 30, 4000):
        assert own.batches(KEY, units=units).sample_rate == 0.2
    assert np.mean([len(own.batches(KEY, units=4000).batch(step)) for step in range(50)]) == pytest.approx(
        800, rel=0.03
    )


def test_steps_beyond_the_plan_are_refused(gradients: Gradients) -> None:
    for step in (-1, 30):
        with pytest.raises(ValueError, match=f"step {step}"):
            mechanism(gradients).noisy_mean(step)


def test_gradients_that_do_not_fit_the_plan_are_refused(gradients: Gradients) -> None:
    with pytest.raises(ValueError, match=r"clipped to 0\.7 must be clipped to the plan's 1\.0"):
        mechanism(gradients, clipping_norm=1.0)
    with pytest.raises(ValueError, match="1 views must have the plan's 2"):
        mechanism(gradients, views=2)
    with pytest.raises(ValueError, match="physical_batch 0"):
        mechanism(gradients, physical_batch=0)


def test_a_key_is_not_shown(gradients: Gradients) -> None:
    assert "run_key" not in repr(mechanism(gradients))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epsilon": 0.0}, "epsilon 0.0 must be above 0"),
        ({"epsilon": math.inf}, "epsilon inf"),
        ({"delta": 1 / 40}, r"delta 0.025 must be below 1/population = 0.025"),
        ({"delta": 0.0}, "delta 0.0"),
        ({"expected_batch": 41}, "expected_batch 41 must be at most population 40"),
        ({"expected_batch": 0}, "expected_batch 0"),
        ({"steps": 0}, "steps 0"),
        ({"clipping_norm": 0.0}, "clipping_norm 0.0"),
        ({"noise_multiplier": 0.0}, "noise_multiplier 0.0"),
        ({"noise_multiplier": math.nan}, "noise_multiplier nan"),
        ({"views": 0}, "views 0"),
        ({"unit": "image"}, "unit image"),
        ({"noise": "none"}, "noise none"),
        ({"clipping": "ghost"}, "clipping ghost must be mixed or opacus"),
        ({"precision": "float16"}, "precision float16 must be float32, or bfloat16 with clipping mixed"),
        ({"precision": "bfloat16", "clipping": "opacus"}, "precision bfloat16"),
        ({"unit": "record"}, "max_images_per_patient None"),
        ({"unit": "record", "max_images_per_patient": 3, "views": 2}, "views 2"),
    ],
)
def test_a_plan_outside_its_ranges_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plan(**change)


def test_a_large_delta_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="privrad"):
        plan(delta=0.0025)
        assert not caplog.records
        plan(delta=0.0026)
    assert "delta 0.0026 is above 1/(10 population)" in caplog.text


def test_a_calibrated_plan_meets_its_budget() -> None:
    settings = {key: value for key, value in SETTINGS.items() if key not in ("epsilon", "noise_multiplier")}
    made = Plan.calibrated(epsilon=2.0, **settings)
    reached = accounting.epsilon(made.noise_multiplier, delta=1e-3, sample_rate=0.2, steps=30)
    assert 1.99 < reached <= 2.0
    assert made == plan(noise_multiplier=made.noise_multiplier)
