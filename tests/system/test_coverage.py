"""A small run of the coverage of the intervals: the bounds are wide, the figures in docs/coverage.md are not."""

from __future__ import annotations

import numpy as np
import pytest

from privrad.evaluation import delong
from tools import coverage

pytestmark = pytest.mark.system


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_the_simulated_areas_are_those_of_delong(mixed: bool, step: float) -> None:
    high, whose, low, others = coverage.draw(12, 30, mixed)
    if step:
        high, low = np.floor(high / step + 0.5), np.floor(low / step + 0.5)
    area, variance, scale, fewer = coverage.moments(high, whose, low, others, 30)
    labels = np.arange(len(high) + len(low)) < len(high)
    found = delong.components(
        np.concatenate([high, low]), labels=labels, units=np.concatenate([whose, others]), count=30
    )
    assert (area, variance, scale) == pytest.approx((found.area, found.variance, found.scale), rel=1e-9)
    assert fewer == found.fewer


@pytest.mark.parametrize("scores", coverage.SCORES)
def test_the_true_area_is_that_of_many_images(scores: str) -> None:
    shift = coverage.shift_of(0.9, scores)
    rng = np.random.default_rng(1)
    latent, other = rng.normal(size=(2, 200_000))
    high, low = shift + latent * (coverage.WIDER if scores == "wider" else 1), other
    if scores == "rounded":
        high, low = (np.floor(each / coverage.STEP + 0.5) for each in (high, low))
    labels = np.arange(400_000) < 200_000
    units = np.arange(400_000, dtype=np.int32)
    found = delong.components(np.concatenate([high, low]), labels=labels, units=units, count=400_000)
    assert found.area == pytest.approx(0.9, abs=0.002)


def test_intervals_of_areas_cover() -> None:
    found = list(coverage.areas(600, positives=(10, 50), prevalences=(0.2,)))
    assert len(found) == 2 * 2 * 3 * len(coverage.AREAS)
    for scenario in found:
        assert scenario.coverage > (0.88 if "wider" in scenario.about else 0.92), str(scenario)
        if scenario.patients == 50 and scenario.truth <= 0.95:
            assert scenario.coverage < 0.98, str(scenario)


def test_the_plain_percentile_does_not_where_auto_does() -> None:
    found = {(each.method, each.truth): each.coverage for each in coverage.resampled(300, positives=(10,))}
    assert found["percentile", 0.98] < 0.9


def test_intervals_of_proportions_cover() -> None:
    found = [each for each in coverage.proportions(600, positives=(20, 100)) if each.method == "logit"]
    assert len(found) == 2 * 6
    for scenario in found:
        assert scenario.coverage > 0.92, str(scenario)
        assert not scenario.without
