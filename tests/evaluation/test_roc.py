"""The bootstrap engine against scikit-learn, by hand, and by its own laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from privrad.evaluation import roc


def ranked(scores: ArrayLike, labels: ArrayLike) -> roc.Ranking:
    held = np.asarray(scores, dtype=float)
    return roc.rank(held, labels=np.asarray(labels, dtype=bool), rows=np.arange(len(held)))


def test_hand_counted_pairs_with_a_tie() -> None:
    """Positives 0.8, 0.4; negatives 0.4, 0.1: three pairs won and one tied of four."""
    area = roc.auroc(ranked([0.8, 0.4, 0.4, 0.1], [1, 1, 0, 0]), weights=np.ones((4, 1)))
    assert area.tolist() == [3.5 / 4]


def test_weights_count_as_copies() -> None:
    scores, labels, weights = np.array([0.2, 0.7, 0.7, 0.9, 0.1]), np.array([1, 0, 1, 1, 0]), np.array([2, 3, 1, 0, 1])
    weighted = roc.auroc(ranked(scores, labels), weights=weights[:, None].astype(float))
    copies = roc.auroc(ranked(np.repeat(scores, weights), np.repeat(labels, weights)), weights=np.ones((7, 1)))
    assert weighted == copies


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays.arrays(float, 40, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])),
    labels=arrays.arrays(bool, 40),
    weights=arrays.arrays(int, (40, 5), elements=st.integers(0, 4)),
)
def test_equals_scikit_learn_under_ties(scores: roc.Floats, labels: NDArray[np.bool_], weights: roc.Indices) -> None:
    areas = roc.auroc(ranked(scores, labels), weights=weights.astype(float))
    for area, weight in zip(areas, weights.T, strict=True):
        if weight[labels].sum() == 0 or weight[~labels].sum() == 0:
            assert np.isnan(area)
        else:
            assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(scores=arrays.arrays(float, 30, elements=st.floats(0, 1)), labels=arrays.arrays(bool, 30))
def test_swapped_labels_give_the_complement_and_order_alone_counts(
    scores: roc.Floats, labels: NDArray[np.bool_]
) -> None:
    ones = np.ones((30, 1))
    area = roc.auroc(ranked(scores, labels), weights=ones)
    swapped = roc.auroc(ranked(scores, ~labels), weights=ones)
    np.testing.assert_allclose(area, 1 - swapped, rtol=0, atol=1e-12)
    ranks = np.unique(scores, return_inverse=True)[1]
    np.testing.assert_array_equal(area, roc.auroc(ranked(ranks, labels), weights=ones))


def test_a_group_is_weighted_by_its_own_rows() -> None:
    rng = np.random.default_rng(0)
    scores, labels, weights = rng.random(200), rng.random(200) < 0.4, rng.integers(0, 4, (200, 3)).astype(float)
    rows = np.flatnonzero(rng.random(200) < 0.5)
    within = roc.auroc(roc.rank(scores[rows], labels=labels[rows], rows=rows), weights=weights)
    apart = [roc_auc_score(labels[rows], scores[rows], sample_weight=weights[rows, k]) for k in range(3)]
    np.testing.assert_allclose(within, apart, rtol=0, atol=1e-12)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_without_positives_or_negatives_there_is_no_area(labels: list[int]) -> None:
    assert np.isnan(roc.auroc(ranked([0.1, 0.2, 0.3], labels), weights=np.ones((3, 2)))).all()


def test_redraws_take_as_many_as_there_are_whatever_the_chunk() -> None:
    whole = np.hstack(list(roc.redraws(np.random.default_rng(3), units=50, count=40, chunk=40)))
    pieces = np.hstack(list(roc.redraws(np.random.default_rng(3), units=50, count=40, chunk=7)))
    np.testing.assert_array_equal(whole, pieces)
    assert whole.shape == (50, 40)
    assert (whole.sum(axis=0) == 50).all()


def test_redraws_are_multinomial() -> None:
    """Each unit is drawn Binomial(n, 1/n) times: mean 1, variance 1 - 1/n, covariance -1/n."""
    drawn = np.hstack(list(roc.redraws(np.random.default_rng(8), units=20, count=20_000, chunk=256)))
    assert abs(drawn[0].mean() - 1) < 5 * np.sqrt(0.95 / 20_000)
    assert drawn.var(axis=1) == pytest.approx(0.95, abs=0.08)
    assert np.cov(drawn[0], drawn[1])[0, 1] == pytest.approx(-1 / 20, abs=0.04)


def test_interval_leaves_out_what_is_not_estimable_and_counts_it() -> None:
    draws = np.concatenate([np.linspace(0, 1, 101), [np.nan] * 9])
    found = roc.interval(draws, confidence=0.9)
    assert (found.low, found.high) == pytest.approx((0.05, 0.95))
    assert found.degenerate == 9
    assert found.sd == pytest.approx(np.linspace(0, 1, 101).std(ddof=1))


def test_no_interval_from_fewer_than_two_redraws() -> None:
    found = roc.interval(np.array([0.7, np.nan, np.nan]), confidence=0.95)
    assert np.isnan([found.low, found.high, found.sd]).all()
    assert found.degenerate == 2


def test_intervals_cover_the_truth() -> None:
    """300 simulated test sets of 120 patients with 2 alike images: 95 % intervals cover in 90 to 99 % of them."""
    rng = np.random.default_rng(11)
    patients, truth, covered = np.repeat(np.arange(120), 2), 0.8556, 0
    for _ in range(300):
        labels = (rng.random(120) < 0.4)[patients]
        scores = rng.normal(size=120)[patients] * 0.9 + rng.normal(size=240) * np.sqrt(0.19) + 1.5 * labels
        ranking = roc.rank(scores, labels=labels, rows=np.arange(240))
        drawn = [roc.auroc(ranking, weights=w[patients]) for w in roc.redraws(rng, units=120, count=200, chunk=100)]
        found = roc.interval(np.concatenate(drawn), confidence=0.95)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 300 <= 0.99
