"""Hanley and McNeil's test against their own numbers, and against simulation."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.metrics import roc_auc_score

from privrad.evaluation.hanley_mcneil import Comparison, compare, correlation, hanley_mcneil, standard_error

# Radiology 148 (1983), Table 1, from a transcription: correlation of two areas by mean correlation of ratings and area.
AREAS = (0.700, 0.725, 0.750, 0.775, 0.800, 0.825, 0.850, 0.875, 0.900, 0.925, 0.950, 0.975)
PRINTED = {
    0.02: (0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01),
    0.10: (0.09, 0.09, 0.09, 0.09, 0.08, 0.08, 0.08, 0.07, 0.07, 0.06, 0.06, 0.04),
    0.20: (0.18, 0.18, 0.18, 0.17, 0.17, 0.17, 0.16, 0.15, 0.15, 0.14, 0.12, 0.10),
    0.30: (0.27, 0.27, 0.27, 0.26, 0.26, 0.25, 0.25, 0.24, 0.23, 0.21, 0.19, 0.16),
    0.40: (0.37, 0.37, 0.36, 0.36, 0.35, 0.35, 0.34, 0.33, 0.32, 0.30, 0.28, 0.24),
    0.50: (0.47, 0.46, 0.46, 0.45, 0.45, 0.44, 0.43, 0.42, 0.41, 0.39, 0.37, 0.32),
    0.60: (0.57, 0.56, 0.56, 0.55, 0.55, 0.54, 0.53, 0.52, 0.51, 0.49, 0.47, 0.42),
    0.70: (0.67, 0.66, 0.66, 0.66, 0.65, 0.65, 0.64, 0.63, 0.62, 0.60, 0.58, 0.54),
    0.80: (0.77, 0.77, 0.77, 0.76, 0.76, 0.76, 0.75, 0.74, 0.73, 0.72, 0.70, 0.67),
    0.90: (0.88, 0.88, 0.88, 0.88, 0.87, 0.87, 0.87, 0.86, 0.86, 0.85, 0.84, 0.82),
}
# Radiology 143 (1982), Table 1: images rated 1 to 5, without and with an abnormality.
RATED = ((33, 6, 6, 11, 2), (3, 2, 2, 11, 33))


@pytest.mark.parametrize("ratings", PRINTED)
def test_the_correlation_is_that_of_the_printed_table(ratings: float) -> None:
    found = [correlation(ratings, area=area, positives=50, negatives=50) for area in AREAS]
    assert found == pytest.approx(PRINTED[ratings], abs=0.0055)


@pytest.mark.parametrize(("ratings", "area"), [(-0.4, 0.6), (0.3, 0.5), (0.9, 0.98)])
def test_the_correlation_is_that_of_the_binormal_model(ratings: float, area: float) -> None:
    """By the variance of a U statistic, with bivariate normal probabilities from another source."""

    def both(correlated: float) -> float:
        covariance = [[1, correlated], [correlated, 1]]
        return float(multivariate_normal.cdf([norm.ppf(area)] * 2, cov=covariance)) - area**2

    positives, negatives = 30, 70
    shared = (positives + negatives - 2) * both(ratings / 2) + both(ratings)
    alone = (positives + negatives - 2) * both(0.5) + area * (1 - area)
    found = correlation(ratings, area=area, positives=positives, negatives=negatives)
    assert found == pytest.approx(shared / alone, abs=1e-6)


def test_equal_ratings_give_equal_areas() -> None:
    assert correlation(1.0, area=0.8, positives=20, negatives=30) == pytest.approx(1, abs=1e-9)
    assert correlation(0.0, area=0.8, positives=20, negatives=30) == 0


def test_the_standard_error_of_1982s_example() -> None:
    """They print an area of 0.893 and a standard error of 0.032."""
    labels = np.repeat([False, True], [sum(counts) for counts in RATED])
    scores = np.concatenate([np.repeat(np.arange(1.0, 6.0), counts) for counts in RATED])
    area = roc_auc_score(labels, scores)
    assert area == pytest.approx(0.893, abs=0.0005)
    assert standard_error(area, positives=51, negatives=58) == pytest.approx(0.032, abs=0.001)


def test_standard_error_by_hand() -> None:
    """Area 0.8 of 10 and 20 images: Q1 = 2/3, Q2 = 32/45, (0.16 + 9 (Q1 - 0.64) + 19 (Q2 - 0.64)) / 200."""
    by_hand = math.sqrt((0.16 + 9 * (2 / 3 - 0.64) + 19 * (32 / 45 - 0.64)) / 200)
    assert standard_error(0.8, positives=10, negatives=20) == pytest.approx(by_hand, rel=1e-12)


def ratings(rng: np.random.Generator, *, ease: tuple[float, float], size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([True, False], [size // 2, size // 2])
    drawn = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=size)
    return labels, drawn + labels[:, None] * np.array(ease)


def test_two_models_are_held_against_each_other_piece_by_piece() -> None:
    labels, scores = ratings(np.random.default_rng(4), ease=(1.5, 0.9))
    found = hanley_mcneil(scores[:, 0], scores[:, 1], labels=labels)
    areas = [roc_auc_score(labels, scores[:, column]) for column in (0, 1)]
    r_ratings = np.mean([np.corrcoef(scores[kept].T)[0, 1] for kept in (labels, ~labels)])
    r = correlation(float(r_ratings), area=float(np.mean(areas)), positives=30, negatives=30)
    errors = [standard_error(area, positives=30, negatives=30) for area in areas]
    error = math.sqrt(errors[0] ** 2 + errors[1] ** 2 - 2 * r * errors[0] * errors[1])
    assert (found.difference, found.correlation, found.error) == pytest.approx((areas[0] - areas[1], r, error))
    assert found.z == pytest.approx((areas[0] - areas[1]) / error)
    assert found.p == pytest.approx(2 * (1 - norm.cdf(abs(found.z))))
    turned = hanley_mcneil(scores[:, 1], scores[:, 0], labels=labels)
    assert (turned.z, turned.p) == pytest.approx((-found.z, found.p))


def test_its_size_is_near_nominal_for_independent_images() -> None:
    """Two equally good models: at 5 %, 800 studies refuse 2.3 to 7.7 % (beyond 3 standard errors it is not 5 %)."""
    rng = np.random.default_rng(9)
    refused = 0
    for _ in range(800):
        labels, scores = ratings(rng, ease=(1.2, 1.2))
        refused += hanley_mcneil(scores[:, 0], scores[:, 1], labels=labels).p < 0.05
    assert 0.023 < refused / 800 < 0.077


def test_a_model_against_itself() -> None:
    labels, scores = ratings(np.random.default_rng(4), ease=(1.5, 0.9))
    found = hanley_mcneil(scores[:, 0], scores[:, 0], labels=labels)
    assert (found.difference, found.z, found.p) == (0, 0, 1)


def nothing(found: Comparison) -> bool:
    return all(math.isnan(value) for value in (found.correlation, found.error, found.z, found.p))


def test_without_spread_there_is_no_test() -> None:
    labels, scores = ratings(np.random.default_rng(4), ease=(1.5, 0.9))
    assert nothing(hanley_mcneil(scores[:, 0], np.where(labels, 0.5, scores[:, 1]), labels=labels))
    perfect = hanley_mcneil(scores[:, 0] + 10 * labels, scores[:, 1], labels=labels)
    assert perfect.difference > 0
    assert nothing(perfect)
    assert nothing(compare(1.0, 1.0, ratings=0.5, positives=3, negatives=3))


def test_scores_near_nothing_correlate_as_large_ones_do() -> None:
    labels, scores = ratings(np.random.default_rng(4), ease=(1.5, 0.9))
    tiny = hanley_mcneil(scores[:, 0] * 1e-300, scores[:, 1], labels=labels)
    assert tiny.p == pytest.approx(hanley_mcneil(scores[:, 0], scores[:, 1], labels=labels).p)


def test_images_of_one_label_are_refused() -> None:
    with pytest.raises(ValueError, match="must hold both labels, and 3 of 3 are positive"):
        hanley_mcneil(np.ones(3), np.ones(3), labels=np.ones(3, dtype=bool))
