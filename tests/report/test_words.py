"""How things are said."""

import math

import pytest

from privrad.report import words


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("age", "[0,30)", "under 30 years"),
        ("age", "[30,60)", "30 to 59 years"),
        ("age", "[80,inf)", "80 years or older"),
        ("age", "[2.5,7.5)", "2.5 to under 7.5 years"),
        ("age", "unknown", "unknown"),
        ("sex", "F", "female"),
        ("sex", "U", "unknown"),
        ("bedside", "False", "not bedside"),
        ("site", "north", "north"),
    ],
)
def test_groups(column: str, value: str, said: str) -> None:
    assert words.group(column, value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "\N{EN DASH}"),
        (math.nan, "\N{EN DASH}"),
        (math.inf, "∞"),
        (6e-6, "6 × 10⁻⁶"),
        (0.2133333, "0.2133"),
        (60.0, "60"),
        (153502, "153\N{NARROW NO-BREAK SPACE}502"),
        (1.5, "1.5"),
        ("none", "none"),
    ],
)
def test_numbers(value: object, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "minimum", "said"),
    [(0, 10, "0"), (1, 10, "<10"), (9, 10, "<10"), (10, 10, "10"), (3, 0, "3")],
)
def test_small_counts_are_hidden_and_none_is_none(value: float, minimum: int, said: str) -> None:
    assert words.count(value, minimum=minimum) == said


def test_arms_and_aurocs() -> None:
    said = [words.arm(name, epsilon=epsilon) for name, epsilon in (("eps-0", 0.0), ("eps-0.29", 0.29))]
    said += [words.arm(name, epsilon=math.inf) for name in ("eps-inf", "eps-inf-matched")]
    plain = [one.replace(words.NBSP, " ") for one in said]
    assert plain == ["not fine-tuned (ε = 0)", "ε = 0.29", "no privacy (ε = ∞)", "no privacy, matched recipe"]
    assert words.auroc(0.87654) == "0.877"
    assert words.auroc(math.nan) == "not estimable"
    assert words.spread(-0.02, 0.013) == "\N{MINUS SIGN}0.020 to 0.013"
    assert words.spread(math.nan, 0.9) == "no interval"


def test_lists_and_sentences() -> None:
    assert [words.listed(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert words.sentence("validation and test images") == "Validation and test images."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([43, 20, 14], ["43", "20", "14"]),
        ([43, 4, 14], ["43", "<10", "withheld"]),
        ([40, 3, 3, 12], ["40", "<10", "<10", "withheld"]),
        ([40, 6, 7, 12], ["40", "<10", "<10", "12"]),
        ([4, 0, 0], ["<10", "0", "0"]),
        ([4], ["<10"]),
        ([], []),
    ],
)
def test_a_total_gives_no_hidden_part_away(values: list[float], said: list[str]) -> None:
    assert words.counts(values, minimum=10) == said
    assert words.counts(values, minimum=0) == [str(value) for value in values]
