"""Intervals: by hand, by an independent statement of each law, and where they must be refused or fall back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from privrad.evaluation import delong, intervals, limits
from privrad.evaluation.intervals import Support, interval
from privrad.evaluation.redraws import Drawn

MANY = Support(60, 200)
RNG = np.random.default_rng(7)
BELL = 0.8 + 0.03 * RNG.normal(size=1000)
SKEWED = 0.8 - 0.02 * (RNG.gamma(2.0, size=1000) - 2)
BLOCKS = 0.8 - 0.003 * (RNG.gamma(2.0, size=100) - 2)


def made(drawn: Drawn, method: str, **changed: Any) -> intervals.Interval:
    settings: dict[str, Any] = {"confidence": 0.95, "kind": "other", "support": MANY} | changed
    return interval(drawn, method=method, **settings)  # type: ignore[arg-type]


def area(patients: int = 60, *, seed: int = 1, shift: float = 2.0, images: int = 3) -> delong.Components:
    """The components of one area: a third of the patients have a finding, on all their images."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(patients), images).astype(np.int32)
    labels = units < patients / 3
    scores = shift * labels + rng.normal(size=patients)[units] + rng.normal(size=len(units))
    return delong.components(scores, labels=labels, units=units, count=patients)


def test_percentile_is_of_the_estimable_redraws_and_the_others_are_counted() -> None:
    draws = np.append(np.linspace(0, 1, 101), [np.nan, np.nan])
    found = made(Drawn(0.5, draws, np.array([])), "percentile", confidence=0.9)
    assert (found.low, found.high) == pytest.approx((0.05, 0.95))
    assert (found.method, found.degenerate, found.note) == ("percentile", 2, "")
    assert found.sd == pytest.approx(np.linspace(0, 1, 101).std(ddof=1))


def test_bca_equals_scipy() -> None:
    """The mean of a skewed sample: scipy.stats.bootstrap's interval from the same redraws and its own jackknife."""
    sample = RNG.gamma(1.5, size=80)
    theirs = stats.bootstrap((sample,), np.mean, method="BCa", n_resamples=2000, rng=np.random.default_rng(2))
    left_out = (sample.sum() - sample) / 79
    found = made(Drawn(float(sample.mean()), theirs.bootstrap_distribution, left_out), "bca")
    limits_of = theirs.confidence_interval
    assert (found.low, found.high) == pytest.approx((limits_of.low, limits_of.high), abs=1e-9)
    assert (found.method, found.note) == ("bca", "")


def test_bca_counts_redraws_equal_to_the_number_half() -> None:
    """Symmetric draws with ties at the value and symmetric blocks: no bias, no acceleration, plain quantiles."""
    draws = np.round(np.concatenate([BELL - 0.8, 0.8 - BELL]) + 0.8, 2)
    drawn = Drawn(0.8, draws, np.concatenate([0.8 + BELL[:50], 0.8 - BELL[:50]]))
    assert np.count_nonzero(draws == 0.8) > 100
    found, plain = made(drawn, "bca"), made(drawn, "percentile")
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-12)
    assert found.method == "bca"


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        (Drawn(0.8, np.full(500, 0.8), BLOCKS), "all redraws are equal"),
        (Drawn(1.0, BELL, BLOCKS), "one side"),
        (Drawn(0.8, BELL, np.full(100, 0.8)), "does not change"),
        (Drawn(0.8, BELL, np.append(BLOCKS, np.nan)), "or has none, with a block"),
        (Drawn(0.8, BELL, np.array([])), "with a block"),
        (Drawn(float(np.quantile(BELL, 0.995)), BELL, BLOCKS), "beyond the redraws"),
    ],
)
def test_bca_falls_back_and_says_so(drawn: Drawn, why: str) -> None:
    found, plain = made(drawn, "bca"), made(drawn, "percentile")
    assert found == replace(plain, note=found.note)
    assert found.note.startswith("percentile, for BCa degenerates: ")
    assert why in found.note


def test_the_kind_chooses_the_law() -> None:
    part = area()
    drawn, support = Drawn(0.8, SKEWED, BLOCKS), Support(20, 40, part.variance, part)
    methods = {kind: made(drawn, "auto", kind=kind, support=support).method for kind in ("area", "proportion", "other")}
    assert methods == {"area": "score", "proportion": "logit", "other": "bca"}
    apart = delong.difference(part, area(seed=2))
    of_sum = made(
        Drawn(apart.area, SKEWED, BLOCKS), "auto", kind="difference", support=replace(support, components=apart)
    )
    assert of_sum.method == "student"


def test_limits_of_an_area_solve_the_law() -> None:
    """The binormal variance from scipy's bivariate normal; both limits are where the inequality turns."""
    part = area()
    low, high = limits.of_area(part, confidence=0.95)
    assert 0 < low < part.area < high < 1
    k = max(part.scale, part.variance / model(part.area))
    for limit in (low, high):
        assert (part.area - limit) ** 2 == pytest.approx(stats.t.ppf(0.975, 19) ** 2 * k * model(limit), rel=1e-5)


def model(theta: float) -> float:
    h = stats.norm.ppf(theta)
    both = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([h, h])
    return float(both - theta * theta)


@pytest.mark.parametrize("theta", [0.5, 0.8, 0.95, 0.999])
def test_the_binormal_model_is_the_variance_of_normal_scores(theta: float) -> None:
    """Var P(negative < positive | positive) by quadrature; at 1/2 the variance of a uniform, 1/12."""
    shift = math.sqrt(2) * stats.norm.ppf(theta)
    grid = np.linspace(-10, 10, 20001)
    second = np.trapezoid(stats.norm.cdf(grid + shift) ** 2 * stats.norm.pdf(grid), grid)
    assert limits.binormal(theta) == pytest.approx(second - theta**2, abs=1e-10)
    assert limits.binormal(0.5) == pytest.approx(1 / 12, abs=1e-15)


def test_limits_of_a_perfect_area_reach_one_and_not_chance() -> None:
    part = area(shift=50)
    low, high = limits.of_area(part, confidence=0.95)
    assert part.area == high == 1
    assert 0.5 < low < 0.99


def test_limits_of_an_area_mirror_those_of_its_complement() -> None:
    one = area()
    other = replace(one, area=1 - one.area)
    low, high = limits.of_area(one, confidence=0.9)
    assert limits.of_area(other, confidence=0.9) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_more_confidence_and_fewer_patients_make_limits_wider() -> None:
    part = area()
    narrow, wide = limits.of_area(part, confidence=0.8), limits.of_area(part, confidence=0.99)
    fewer = limits.of_area(replace(part, fewer=10), confidence=0.8)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert fewer[0] < narrow[0] < narrow[1] < fewer[1]


def test_limits_of_a_difference_by_the_law_as_it_is_stated() -> None:
    one, other = area(), area(seed=2, shift=1.0)
    apart = delong.difference(one, other)
    low, high = limits.of_sum(apart, confidence=0.95)
    t = stats.t.ppf(0.975, 19)
    lent = [max(part.variance, part.scale * model(part.area)) for part in (one, other)]
    influence = one.influence - other.influence
    half = t * math.sqrt(influence @ influence * sum(lent) / (one.variance + other.variance))
    skew = (influence**3).sum() / (influence @ influence)
    middle = one.area - other.area + (1 + 2 * t * t) * skew / 12
    assert (low, high) == pytest.approx((middle - half, middle + half), rel=1e-4)
    assert limits.of_sum(delong.difference(other, one), confidence=0.95) == pytest.approx((-high, -low), abs=1e-9)


def test_a_mean_of_many_areas_has_more_degrees_of_freedom() -> None:
    parts = [area(seed=seed) for seed in range(8)]
    total = delong.mean(parts)
    assert total is not None
    low, high = limits.of_sum(total, confidence=0.95)
    lent = np.array([max(part.variance, part.scale * model(part.area)) for part in parts])
    t = stats.t.ppf(0.975, lent.sum() ** 2 / (lent**2 / 19).sum())
    inflated = total.variance * lent.sum() / sum(part.variance for part in parts)
    assert (high - low) / 2 == pytest.approx(t * math.sqrt(inflated), rel=1e-4)


def test_a_model_does_not_differ_from_itself_and_two_perfect_ones_are_uncertain() -> None:
    part, perfect = area(), area(shift=50)
    assert limits.of_sum(delong.difference(part, part), confidence=0.95) == (0, 0)
    low, high = limits.of_sum(delong.difference(perfect, area(shift=60)), confidence=0.95)
    assert low < 0 < high


def test_limits_of_a_proportion_by_the_law_as_it_is_stated() -> None:
    low, high = limits.of_proportion(0.8, variance=0.002, patients=30, confidence=0.9)
    error = math.sqrt(0.002 * 30 / 29 + 0.8 * 0.2 / 30**2) / (0.8 * 0.2)
    expected = [math.log(4) + side * stats.t.ppf(0.95, 29) * error for side in (-1, 1)]
    assert [math.log(each / (1 - each)) for each in (low, high)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("value", "ends"), [(0.0, (0.0, None)), (1.0, (None, 1.0))])
def test_a_proportion_of_none_or_all_is_wilson_of_the_patients(value: float, ends: tuple[Any, Any]) -> None:
    """Wilson's limits are n / (n + z^2) and 1; here t for z."""
    found = limits.of_proportion(value, variance=0.0, patients=25, confidence=0.95)
    share = 25 / (25 + stats.t.ppf(0.975, 24) ** 2)
    expected = (1 - share, share)
    for limit, end, inner in zip(found, ends, reversed(expected), strict=True):
        assert limit == pytest.approx(inner if end is None else end, abs=1e-12)


def test_rounding_is_no_variance_of_a_proportion() -> None:
    rounded, none = (limits.of_proportion(0.8, variance=each, patients=20, confidence=0.95) for each in (1e-32, 0.0))
    assert rounded == none


@pytest.mark.parametrize("method", ["auto", "percentile", "bca"])
@pytest.mark.parametrize(
    ("support", "which"), [(Support(9, 500), "positive"), (Support(500, 9), "negative"), (Support(0, 0), "positive")]
)
def test_no_interval_under_ten_patients(method: str, support: Support, which: str) -> None:
    found = made(Drawn(0.8, BELL, BLOCKS), method, kind="area", support=support)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert (found.method, found.note) == ("", f"no interval: fewer than 10 {which} patients")
    assert found.sd > 0


def test_a_proportion_without_interval_is_said_to_be_of_too_few() -> None:
    found = made(Drawn(0.8, BELL, BLOCKS), "auto", kind="proportion", support=Support(9, 9))
    assert (found.method, found.note) == ("", "no interval: fewer than 10 patients that it is a share of")


def test_with_ten_patients_there_is_one() -> None:
    found = made(Drawn(0.8, BELL, BLOCKS), "auto", kind="area", support=Support(10, 10, 0.001))
    assert 0.5 < found.low < 0.8 < found.high < 1


def test_a_mean_abstains_only_where_all_its_areas_would() -> None:
    rare, common = area(18), area(60)
    rare = replace(rare, influence=np.append(rare.influence, np.zeros(42)))
    both, alone = delong.mean([rare, common]), delong.mean([rare])
    assert both is not None
    assert alone is not None
    drawn, few = Drawn(0.8, BELL, BLOCKS), Support(6, 40, both.variance)
    assert made(drawn, "auto", kind="mean_area", support=replace(few, components=both)).method == "student"
    assert made(drawn, "auto", kind="mean_area", support=replace(few, components=alone)).method == ""


def test_fewer_than_two_redraws_give_no_interval_nor_spread() -> None:
    found = made(Drawn(0.7, np.array([0.7, np.nan, np.nan]), BLOCKS), "percentile")
    assert (found.method, found.degenerate) == ("", 2)
    assert found.note == "no interval: only 1 of 3 redraws can be estimated"
    assert math.isnan(found.sd)
    assert math.isnan(found.low)


def test_a_number_that_is_none_has_none() -> None:
    found = made(Drawn(math.nan, np.full(5, np.nan), BLOCKS), "auto", kind="area")
    assert (found.method, found.note, found.degenerate) == ("", "", 5)


def test_a_variance_that_is_none_is_told() -> None:
    for variance in (math.nan, 0.0):
        found = made(Drawn(0.8, BELL, BLOCKS), "auto", kind="difference", support=replace(MANY, variance=variance))
        assert (found.method, found.note) == ("", "no interval: the variance is not estimable")


@pytest.mark.parametrize("changed", [{"confidence": 95.0}, {"confidence": 0.0}])
def test_a_confidence_out_of_range_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be between 0 and 1, such as 0\.95"):
        made(Drawn(0.8, BELL, BLOCKS), "auto", **changed)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="'normal': choose auto, percentile or bca"):
        made(Drawn(0.8, BELL, BLOCKS), "normal")


def test_a_number_that_redraws_enlarge_is_in_its_interval_by_any_method() -> None:
    """Redraws 0.02 above the number: the percentile interval would leave it out."""
    draws = 0.07 + 0.005 * stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    spread, t = draws.std(ddof=1), stats.t.ppf(0.975, 59)
    for method in ("auto", "percentile", "bca"):
        found = made(Drawn(0.05, draws, BLOCKS), method, kind="biased")
        low = 0.05 - 0.02 / (math.sqrt(2) - 1) - 2 * t * spread
        assert (found.low, found.high) == pytest.approx((max(low, 0), 0.05 + t * spread))
        assert (found.method, found.note) == ("allowance", "")
    unbiased = made(Drawn(0.07, draws, BLOCKS), "auto", kind="biased")
    assert unbiased.low == pytest.approx(0.07 - 2 * t * spread)


def test_calibration_errors_are_covered() -> None:
    """A model that says 0.1 too much, and one that is right: 200 test sets of 60 patients each."""
    rng = np.random.default_rng(4)
    for excess in (0.0, 0.1):
        covered = 0
        for _ in range(200):
            scores = rng.uniform(0.15, 0.85, size=60)
            apart = np.zeros((60, 10))
            apart[np.arange(60), (scores * 10).astype(int)] = scores - (rng.random(60) < scores - excess)
            drawn = rng.multinomial(60, np.full(60, 1 / 60), size=200)
            value, draws = abs(apart.sum(axis=0)).sum() / 60, abs(drawn @ apart).sum(axis=1) / 60
            found = made(Drawn(float(value), draws, BLOCKS), "auto", kind="biased")
            covered += found.low <= excess <= found.high
        assert covered >= 190


def test_a_mean_of_proportions_says_whose_patients_are_too_few() -> None:
    found = made(Drawn(0.8, BELL, BLOCKS), "auto", kind="mean_proportion", support=Support(9, 9))
    assert found.note == "no interval: fewer than 10 patients that it is a share of"
