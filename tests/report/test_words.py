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
        ("sex & age", "F & [30,60)", "female, 30 to 59 years"),
        ("findings", "0", "no finding"),
        ("findings", "1", "1 finding"),
        ("findings", "2", "2 findings"),
        ("findings", "3+", "3 or more findings"),
        ("findings", "unknown", "unknown"),
    ],
)
def test_groups(column: str, value: str, said: str) -> None:
    assert words.group(column, value) == said


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        (0.81249, "auroc", "0.812"),
        (-0.0204, "signed", "\N{MINUS SIGN}0.020"),
        (0.0204, "signed", "+0.020"),
        (-0.0204, "size", "0.020"),
        (0.95, "percent", "95\N{NO-BREAK SPACE}%"),
        (0.019874, "percent", "1.99\N{NO-BREAK SPACE}%"),
        (0.00099, "p", "<0.001"),
        (0.0449, "p", "0.045"),
        (1234.0, "count", "1\N{NARROW NO-BREAK SPACE}234"),
        ((3, 4), "length", "2"),
        ("0123456789abcdef", "hash", "0123456789ab"),
    ],
)
def test_every_form(value: object, form: str, said: str) -> None:
    assert words.written(value, form=form) == said


@pytest.mark.parametrize(
    ("name", "alone", "inside", "in_full"),
    [
        ("pleural_effusion_right", *("Pleural effusion right", "pleural effusion right", "pleural effusion right")),
        ("pdac", "PDAC", "PDAC", "PDAC (pancreatic ductal adenocarcinoma)"),
        ("covid_19", "COVID-19", "COVID-19", "COVID-19 (coronavirus disease 2019)"),
    ],
)
def test_findings(name: str, alone: str, inside: str, in_full: str) -> None:
    assert (words.finding(name), words.inside(name), words.in_full(name)) == (alone, inside, in_full)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form 'words' is none of auroc, signed"):
        words.written(1.0, form="words")


def test_groupings_and_keys() -> None:
    assert [words.grouping(column) for column in ("sex & age", "findings", "body_side")] == [
        "sex and age",
        "number of findings",
        "body side",
    ]
    assert [words.plain(value) for value in (None, math.nan, 0, "a", 0.29)] == ["", "", "0", "a", "0.29"]


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
        (-150.0, "\N{MINUS SIGN}150"),
        (1.5, "1.5"),
        ("none", "none"),
    ],
)
def test_numbers(value: object, said: str) -> None:
    assert words.number(value) == said


def test_arms_and_aurocs() -> None:
    said = [words.arm(name, epsilon=epsilon) for name, epsilon in (("eps-0", 0.0), ("eps-0.29", 0.29))]
    said += [words.arm(name, epsilon=math.inf) for name in ("eps-inf", "eps-inf-matched")]
    plain = [one.replace(words.NBSP, " ") for one in said]
    assert plain == ["not fine-tuned (ε = 0)", "ε = 0.29", "no privacy (ε = ∞)", "no privacy, matched recipe"]
    assert words.auroc(0.87654) == "0.877"
    assert words.auroc(math.nan) == "not estimable"


def test_lists_and_sentences() -> None:
    assert [words.listed(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert words.sentence("validation and test patients") == "Validation and test patients."
