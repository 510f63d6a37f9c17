"""Cut-offs are the best ones, by search over all of them, and split no equal scores."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from privrad.evaluation import thresholds

Cell = tuple[NDArray[np.float64], NDArray[np.bool_]]


def cells() -> Iterator[Cell]:
    """Scores with few and with many distinct values, the ends of the range among them."""
    rng = np.random.default_rng(5)
    for images, values in itertools.product((12, 40, 150), (2, 4, 11, 10**6)):
        for _ in range(12):
            labels = rng.random(images) < 0.4
            labels[:2] = True, False
            yield np.round(np.clip(rng.random(images) + 0.2 * labels, 0, 1) * (values - 1)) / (values - 1), labels


def rates(scores: NDArray[np.float64], labels: NDArray[np.bool_], cut: float) -> tuple[float, float]:
    called = scores >= cut
    return float((called & labels).sum() / labels.sum()), float((~called & ~labels).sum() / (~labels).sum())


def everywhere(scores: NDArray[np.float64]) -> list[float]:
    """A cut-off in each gap between neighbouring scores, below all and above all."""
    return [-1.0, *sorted(set(scores.tolist()))[1:], 2.0]


@pytest.mark.parametrize("wished", [0.5, 0.7, 0.9, 0.95])
def test_the_lowest_cut_off_of_a_specificity_is_found(wished: float) -> None:
    for scores, labels in cells():
        chosen = thresholds.choose(scores, labels=labels, rule="specificity", specificity=wished)
        lowest = next(cut for cut in everywhere(scores) if rates(scores, labels, cut)[1] >= wished)
        assert (chosen.sensitivity, chosen.specificity) == rates(scores, labels, lowest)
        assert rates(scores, labels, chosen.value) == (chosen.sensitivity, chosen.specificity)


def test_youdens_cut_off_is_the_best_of_all() -> None:
    for scores, labels in cells():
        chosen = thresholds.choose(scores, labels=labels, rule="youden", specificity=0.9)
        reached = [rates(scores, labels, cut) for cut in everywhere(scores)]
        most = max(sensitivity + specificity for sensitivity, specificity in reached)
        best = [pair for pair in reached if math.isclose(sum(pair), most, abs_tol=1e-12)]
        nearest = min(abs(sensitivity - specificity) for sensitivity, specificity in best)
        expected = next(pair for pair in best if math.isclose(abs(pair[0] - pair[1]), nearest, abs_tol=1e-12))
        assert (chosen.sensitivity, chosen.specificity) == expected
        assert rates(scores, labels, chosen.value) == expected
        false_rates, true_rates, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert chosen.sensitivity + chosen.specificity - 1 == pytest.approx(np.max(true_rates - false_rates), abs=1e-12)


def choose(scores: list[float], positive: list[int], rule: str = "youden", wished: float = 0.9) -> thresholds.Threshold:
    labels = np.array(positive, dtype=bool)
    return thresholds.choose(np.array(scores), labels=labels, rule=rule, specificity=wished)


def test_a_cut_off_lies_midway_between_its_neighbours() -> None:
    assert choose([0.2, 0.4, 0.7, 0.9], [0, 0, 1, 1]).value == pytest.approx(0.55)
    assert choose([0.2, 0.4, 0.7, 0.9], [0, 0, 0, 1], "specificity", 2 / 3).value == pytest.approx(0.55)
    assert choose([0.2, 0.4, 0.6], [1, 0, 0], "specificity", 0.9).value == pytest.approx(0.8)
    assert choose([0.2, 0.4, 0.6], [0, 1, 1], "specificity", 1e-9).value == pytest.approx(0.3)


def test_neighbours_with_no_number_between_them_are_kept_apart() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    assert choose([low, high], [0, 1]).value == high
    assert choose([0.2, 1.0], [1, 0], "specificity").value > 1


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        # J is 1/2 at 0.25 (1, 1/2), at 0.45 and at 0.65 (1/2, 1): equally apart, so the lowest
        ([0.2, 0.3, 0.6, 0.7], [0, 1, 0, 1], 0.25),
        # J is 1/3 at 0.15 (1, 1/3) and at 0.35 (2/3, 2/3): the second is balanced
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 1, 0, 1, 0, 1], 0.35),
    ],
)
def test_of_equal_cut_offs_the_balanced_then_the_lowest(
    scores: list[float], positive: list[int], expected: float
) -> None:
    assert choose(scores, positive).value == pytest.approx(expected)


def test_a_specificity_that_is_reached_exactly_is_enough() -> None:
    scores, labels = np.arange(101) / 101, np.arange(101) == 100
    for wished in np.arange(1, 100) / 100:
        chosen = thresholds.choose(scores, labels=labels, rule="specificity", specificity=float(wished))
        assert chosen.specificity == wished


@pytest.mark.parametrize("rule", thresholds.RULES)
def test_without_either_kind_there_is_no_cut_off(rule: str) -> None:
    nothing = thresholds.choose(None, labels=None, rule=rule, specificity=0.9)
    for chosen, reason in (
        (nothing, "no validation images"),
        (choose([], [], rule), "no validation images"),
        (choose([0.1, 0.2], [0, 0], rule), "no positive images to choose on"),
        (choose([0.1, 0.2], [1, 1], rule), "no negative images to choose on"),
    ):
        assert chosen.note == f"not estimable: {reason}"
        assert [math.isnan(number) for number in (chosen.value, chosen.sensitivity, chosen.specificity)] == [True] * 3


def test_a_cut_off_chosen_on_few_images_is_marked() -> None:
    scores = [index / 40 for index in range(40)]
    assert choose(scores, [0] * 31 + [1] * 9).note == "uncertain: chosen on 9 positive images"
    assert choose(scores, [0] * 9 + [1] * 31).note == "uncertain: chosen on 9 negative images"
    assert choose(scores, [0] * 30 + [1] * 10).note == ""


def test_a_cut_off_that_tells_nothing_is_marked() -> None:
    same = choose([0.4] * 30, [0, 1] * 15)
    assert same.note == "uncertain: no cut-off is better than chance"
    assert (same.value, same.sensitivity, same.specificity) == (0.2, 1.0, 0.0)
    assert choose([0.4] * 30, [0, 1] * 15, "specificity").note == ""


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold rule 'f1' must be youden or specificity"):
        choose([0.1, 0.2], [0, 1], "f1")
