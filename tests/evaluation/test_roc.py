"""The bootstrap engine against scikit-learn, by hand, and by its own laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from privrad.evaluation import roc
from privrad.evaluation.redraws import Weights

Matrix = NDArray[np.uint16]


def ranked(scores: ArrayLike, labels: ArrayLike) -> roc.Ranking:
    """A cell in which each image is a unit of its own."""
    held = np.asarray(scores, dtype=float)
    units = np.arange(len(held), dtype=np.int32)
    return roc.rank(held, labels=np.asarray(labels, dtype=bool), units=units)[0]


def drawn(matrix: ArrayLike) -> Weights:
    """Weights [rows, units] that were drawn by hand."""
    return Weights(np.asarray(matrix, dtype=np.uint16))


def ones(images: int) -> Weights:
    return drawn(np.ones((1, images)))


def test_hand_counted_pairs_with_a_tie() -> None:
    """Positives 0.8, 0.4; negatives 0.4, 0.1: three pairs won and one tied of four."""
    assert roc.auroc(ranked([0.8, 0.4, 0.4, 0.1], [1, 1, 0, 0]), ones(4)).tolist() == [3.5 / 4]


def test_weights_count_as_copies() -> None:
    scores, labels = np.array([0.2, 0.7, 0.7, 0.9, 0.1]), np.array([1, 0, 1, 1, 0])
    weights = np.array([2, 3, 1, 0, 1], dtype=np.uint16)
    found, at = roc.measure(ranked(scores, labels), drawn(weights[None]), thresholds=[0.7])
    copied, at_copied = roc.measure(
        ranked(np.repeat(scores, weights), np.repeat(labels, weights)), ones(7), thresholds=[0.7]
    )
    for name, value in (found | at[0]).items():
        np.testing.assert_allclose(value, (copied | at_copied[0])[name], rtol=0, atol=1e-15)


SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 1.0])


@settings(max_examples=80, deadline=None)
@given(
    scores=arrays.arrays(float, 40, elements=SCORES),
    labels=arrays.arrays(bool, 40),
    weights=arrays.arrays(np.uint16, (5, 40), elements=st.integers(0, 4)),
    threshold=SCORES,
)
def test_equals_scikit_learn_under_ties(
    scores: roc.Floats, labels: NDArray[np.bool_], weights: Matrix, threshold: float
) -> None:
    ranking = ranked(scores, labels)
    found, (at,) = roc.measure(ranking, drawn(weights), thresholds=[threshold])
    np.testing.assert_array_equal(found["auroc"], roc.auroc(ranking, drawn(weights)))
    for row, weight in enumerate(weights.astype(float)):
        if weight[labels].sum() == 0 or weight[~labels].sum() == 0:
            assert np.isnan(found["auroc"][row])
            continue
        held = weight > 0
        y, s, w = labels[held], scores[held], weight[held]
        said = s >= threshold
        expected = {
            "auroc": metrics.roc_auc_score(y, s, sample_weight=w),
            "average_precision": metrics.average_precision_score(y, s, sample_weight=w),
            "brier": metrics.brier_score_loss(y, s, sample_weight=w, pos_label=True),
            "sensitivity": metrics.recall_score(y, said, sample_weight=w),
            "specificity": metrics.recall_score(~y, ~said, sample_weight=w),
            "accuracy": metrics.accuracy_score(y, said, sample_weight=w),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, said, sample_weight=w),
            "ppv": metrics.precision_score(y, said, sample_weight=w, zero_division=np.nan),
            "npv": metrics.precision_score(~y, ~said, sample_weight=w, zero_division=np.nan),
            "selection_rate": np.average(said, weights=w),
        }
        both = found | at
        assert {name: both[name][row] for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert at["fpr"][row] == pytest.approx(1 - expected["specificity"], abs=1e-12)
        assert at["underdiagnosis"][row] == pytest.approx(1 - expected["sensitivity"], abs=1e-12)


def test_calibration_error_by_hand() -> None:
    """Bins [0.1, 0.2): mean 0.15, a half positive; [0.9, 1]: mean 0.95, all positive; half of the images each."""
    found, _ = roc.measure(ranked([0.1, 0.199999, 0.9, 1.0], [0, 1, 1, 1]), ones(4), thresholds=[])
    assert found["ece"][0] == pytest.approx((abs(0.299999 - 1) + abs(1.9 - 2)) / 4, abs=1e-12)


def test_an_upper_edge_belongs_to_the_bin_above() -> None:
    """0.3 and 0.7 open their bins: were they at the end of those below, 0.25 and 0.3 would share one."""
    found, _ = roc.measure(ranked([0.25, 0.3, 0.65, 0.7], [1, 0, 0, 1]), ones(4), thresholds=[])
    assert found["ece"][0] == pytest.approx((0.75 + 0.3 + 0.65 + 0.3) / 4, abs=1e-12)


def test_thresholds_beyond_all_scores() -> None:
    _, (none, every) = roc.measure(ranked([0.2, 0.4, 0.6], [0, 1, 1]), ones(3), thresholds=[0.7, 0.0])
    assert (none["sensitivity"][0], none["specificity"][0], none["selection_rate"][0]) == (0, 1, 0)
    assert np.isnan(none["ppv"][0])
    assert (every["sensitivity"][0], every["specificity"][0], every["selection_rate"][0]) == (1, 0, 1)
    assert np.isnan(every["npv"][0])


@settings(max_examples=40, deadline=None)
@given(scores=arrays.arrays(float, 30, elements=st.floats(0, 1)), labels=arrays.arrays(bool, 30))
def test_swapped_labels_give_the_complement_and_order_alone_counts(
    scores: roc.Floats, labels: NDArray[np.bool_]
) -> None:
    area, swapped = (roc.auroc(ranked(scores, held), ones(30)) for held in (labels, ~labels))
    np.testing.assert_allclose(area, 1 - swapped, rtol=0, atol=1e-12)
    ranks = np.unique(scores, return_inverse=True)[1]
    np.testing.assert_array_equal(area, roc.auroc(ranked(ranks, labels), ones(30)))


def test_a_group_keeps_the_units_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random(200).round(2), rng.random(200) < 0.4
    units = rng.integers(60, size=200).astype(np.int32)
    weights = rng.integers(0, 4, (3, 60)).astype(np.uint16)
    member = rng.random(200) < 0.5
    ranking, order = roc.rank(scores, labels=labels, units=units)
    within = roc.auroc(ranking.within(member[order]), drawn(weights))
    apart = [metrics.roc_auc_score(labels[member], scores[member], sample_weight=row[units][member]) for row in weights]
    np.testing.assert_allclose(within, apart, rtol=0, atol=1e-12)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_without_positives_or_negatives_there_is_no_area(labels: list[int]) -> None:
    assert np.isnan(roc.auroc(ranked([0.1, 0.2, 0.3], labels), drawn(np.ones((2, 3))))).all()


def test_no_image_at_all_gives_no_number() -> None:
    found, (at,) = roc.measure(ranked([], []), ones(3), thresholds=[0.5])
    assert all(np.isnan(value).all() for value in (found | at).values())


def test_areas_of_many_images_are_counted_without_rounding() -> None:
    """400,000 images a weight of 7 each: the pairs exceed 2**40, and the area of a perfect ranking is 1 exactly."""
    labels = np.arange(400_000) % 2 == 1
    scores = labels + np.linspace(0, 0.5, 400_000)
    assert roc.auroc(ranked(scores / 2, labels), drawn(np.full((1, 400_000), 7)))[0] == 1.0
