"""Clustered DeLong against a published example, against all pairs of images, and by its own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from privrad.evaluation import delong

Bools = NDArray[np.bool_]
Units = NDArray[np.int32]


def drawn(seed: int, patients: int, *, most: int = 5) -> tuple[delong.Floats, Bools, Units]:
    """Scores with ties, labels that vary within a patient, and the patients of 1 to `most` images each."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(patients), rng.integers(1, most + 1, patients)).astype(np.int32)
    labels = rng.random(len(units)) < 0.3 + 0.3 * (units % 2)
    scores = np.round(labels + rng.normal(size=patients)[units] + rng.normal(size=len(units)), 1)
    order = rng.permutation(len(units))
    return scores[order], labels[order], units[order]


def all_pairs(scores: delong.Floats, labels: Bools) -> NDArray[np.float64]:
    """1, 1/2 or 0 for each positive (row) against each negative (column)."""
    apart = scores[labels][:, None] - scores[~labels][None, :]
    return (np.sign(apart) + 1) / 2


def test_the_published_example_of_ratings_with_ties() -> None:
    """109 CT images in five ratings (Hanley and McNeil, Radiology 1982, table 1).

    Area 0.8932, DeLong's standard error 0.0307 and 95 % interval 0.83295 to 0.95339 as printed in the Stata manual
    (roctab, hanley.dta).
    """
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    scores = np.concatenate([np.repeat(np.arange(5.0), normal), np.repeat(np.arange(5.0), abnormal)])
    found = delong.components(scores, labels=np.arange(109) >= 58, units=np.arange(109, dtype=np.int32), count=109)
    error = math.sqrt(found.variance)
    assert round(found.area, 4) == 0.8932
    assert round(error, 4) == 0.0307
    assert [round(found.area + side * 1.959964 * error, 5) for side in (-1, 1)] == [0.83295, 0.95339]


@pytest.mark.parametrize("seed", range(5))
def test_one_image_a_patient_is_delong_1988(seed: int) -> None:
    """Covariance matrix of two areas from all pairs: S10/m + S01/n of the paper's equation (5)."""
    scores, labels, _ = drawn(seed, 60)
    rng = np.random.default_rng(seed)
    other = scores + rng.normal(size=len(scores))
    units = rng.permutation(len(scores)).astype(np.int32)
    pairs = [all_pairs(each, labels) for each in (scores, other)]
    matrix = np.cov([each.mean(axis=1) for each in pairs]) / len(pairs[0])
    matrix = matrix + np.cov([each.mean(axis=0) for each in pairs]) / pairs[0].shape[1]
    one, two = (delong.components(each, labels=labels, units=units, count=len(units)) for each in (scores, other))
    assert one.area == pytest.approx(pairs[0].mean(), abs=1e-12)
    assert one.variance == pytest.approx(matrix[0, 0], abs=1e-12)
    assert delong.covariance(one, two) == pytest.approx(matrix[0, 1], abs=1e-12)
    m, n = pairs[0].shape
    assert one.scale == pytest.approx(1 / m + 1 / n, rel=1e-12)
    assert one.fewer == min(m, n)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_obuchowski_1997_from_all_pairs(seed: int) -> None:
    scores, labels, units = drawn(seed, 40)
    pairs = all_pairs(scores, labels)
    area = pairs.mean()
    m, n = pairs.shape
    won = np.array([(pairs[units[labels] == unit] - area).mean(axis=1).sum() for unit in range(40)])
    lost = np.array([(pairs[:, units[~labels] == unit] - area).mean(axis=0).sum() for unit in range(40)])
    p, q = len(set(units[labels])), len(set(units[~labels]))
    s10, s01 = p / (p - 1) / m * won @ won, q / (q - 1) / n * lost @ lost
    both = 2 * won @ lost / (m * n)
    found = delong.components(scores, labels=labels, units=units, count=40)
    assert found.variance == pytest.approx(s10 / m + s01 / n + math.sqrt(p * q / (p - 1) / (q - 1)) * both, rel=1e-12)
    assert found.variance == pytest.approx(s10 / m + s01 / n + 40 / 39 * both, rel=0.02)
    assert found.fewer == min(p, q)
    independent = pairs.mean(axis=1).var(ddof=1) / m + pairs.mean(axis=0).var(ddof=1) / n
    assert found.scale == pytest.approx((1 / m + 1 / n) * max(1, found.variance / independent), rel=1e-12)


def test_a_patient_repeated_counts_as_one() -> None:
    """Each image twice under the same patient leaves the variance as it is; as two patients it halves, nearly."""
    scores, labels, _ = drawn(3, 80, most=1)
    units = np.arange(len(scores), dtype=np.int32)
    once = delong.components(scores, labels=labels, units=units, count=len(units))
    twice = delong.components(np.tile(scores, 2), labels=np.tile(labels, 2), units=np.tile(units, 2), count=len(units))
    apart = np.arange(2 * len(units), dtype=np.int32)
    other = delong.components(np.tile(scores, 2), labels=np.tile(labels, 2), units=apart, count=len(apart))
    assert twice.variance == pytest.approx(once.variance, rel=1e-12)
    assert other.variance == pytest.approx(once.variance / 2, rel=0.03)


def test_mean_and_difference_have_the_variance_of_the_covariances() -> None:
    scores, labels, units = drawn(4, 50)
    one, two, three = (
        delong.components(scores + shift * labels, labels=labels, units=units, count=50) for shift in (0.0, 0.5, 2.0)
    )
    apart = delong.difference(one, two)
    assert apart.area == one.area - two.area
    assert apart.variance == pytest.approx(one.variance + two.variance - 2 * delong.covariance(one, two), rel=1e-9)
    mean = delong.mean([one, two, three])
    assert mean is not None
    every = sum(delong.covariance(a, b) for a in (one, two, three) for b in (one, two, three))
    assert mean.variance == pytest.approx(every / 9, rel=1e-9)
    assert mean.area == pytest.approx((one.area + two.area + three.area) / 3, abs=1e-15)
    assert [factor for factor, _ in delong.difference(mean, one).terms] == pytest.approx([1 / 3, 1 / 3, 1 / 3, -1])
    assert delong.difference(one, one).variance == 0
    assert delong.mean([]) is None


def test_units_without_an_image_have_no_influence() -> None:
    scores, labels, units = drawn(5, 30)
    found = delong.components(scores, labels=labels, units=units * 2, count=60)
    assert not found.influence[1::2].any()
    assert found.variance == delong.components(scores, labels=labels, units=units, count=30).variance


def test_swapped_labels_give_the_complement_and_the_same_variance() -> None:
    scores, labels, units = drawn(6, 30)
    one = delong.components(scores, labels=labels, units=units, count=30)
    other = delong.components(scores, labels=~labels, units=units, count=30)
    assert other.area == pytest.approx(1 - one.area, abs=1e-12)
    np.testing.assert_allclose(other.influence, -one.influence, rtol=0, atol=1e-12)


def test_a_perfect_ranking_has_no_variance_and_the_scale_of_its_patients() -> None:
    units = np.array([0, 0, 1, 2, 3, 3, 3, 4], dtype=np.int32)
    labels = units < 2
    found = delong.components(labels.astype(float), labels=labels, units=units, count=5)
    assert (found.area, found.variance, found.fewer) == (1, 0, 2)
    assert found.scale == 1 / 2 + 1 / 3


def test_positives_of_one_patient_alone_have_no_variance() -> None:
    units = np.array([0, 0, 1, 2], dtype=np.int32)
    found = delong.components(np.array([1.0, 3, 2, 0]), labels=units == 0, units=units, count=3)
    assert found.area == 0.75
    assert math.isnan(found.variance)
    assert found.fewer == 1


@pytest.mark.parametrize(("labels", "lacking"), [([True, True], "negative"), ([False, False], "positive")])
def test_one_label_alone_is_refused(labels: list[bool], lacking: str) -> None:
    with pytest.raises(ValueError, match=f"none of 2 is {lacking}"):
        delong.components(np.zeros(2), labels=np.array(labels), units=np.arange(2, dtype=np.int32), count=2)
