"""Who belongs to which group."""

import math

import numpy as np
import pandas as pd
import pytest

from privrad.evaluation import groups
from privrad.evaluation.settings import Settings

PAPER = (0, 30, 60, 70, 80, 100)


def test_lower_edges_are_in_and_upper_edges_out() -> None:
    ages = np.array([0, 29.9, 30, 59.99, 60, 79.9, 80, 99, 100, 120, -1, np.nan])
    assert groups.bands(ages, edges=PAPER).tolist() == [
        *("[0,30)", "[0,30)", "[30,60)", "[30,60)", "[60,70)", "[70,80)", "[80,100)", "[80,100)"),
        *("outside", "outside", "outside", "unknown"),
    ]


def test_every_image_is_in_one_group_of_each_column() -> None:
    images = pd.DataFrame(
        {
            "sex": ["F", "M", None, "U"],
            "age": [20.0, 65.0, np.nan, 101.0],
            "bedside": pd.array([True, False, None, True], dtype="boolean"),
        }
    )
    members = groups.of_images(images, columns=["sex", "age", "bedside"], age_bands=PAPER)
    named = {group: np.flatnonzero(mask).tolist() for group, mask in members.items()}
    assert named == {
        ("all", "all"): [0, 1, 2, 3],
        **{("sex", "F"): [0], ("sex", "M"): [1], ("sex", "U"): [3], ("sex", "unknown"): [2]},
        **{("age", "[0,30)"): [0], ("age", "[60,70)"): [1], ("age", "outside"): [3], ("age", "unknown"): [2]},
        **{("bedside", "False"): [1], ("bedside", "True"): [0, 3], ("bedside", "unknown"): [2]},
    }
    assert next(group for group in members if group[0] == "age") == ("age", "[0,30)")


def test_a_column_of_many_values_is_no_grouping() -> None:
    images = pd.DataFrame({"weight": np.linspace(40, 120, 200)})
    with pytest.raises(ValueError, match=r"column weight has 200 values.*at most 50"):
        groups.of_images(images, columns=["weight"], age_bands=PAPER)


def people() -> pd.DataFrame:
    return pd.DataFrame({"sex": ["F", "M", "F", None], "age": [20.0, 65.0, 40.0, 40.0], "site": ["x", "x", "y", "y"]})


def test_a_pair_of_columns_is_a_grouping() -> None:
    members = groups.of_images(
        people(), columns=["sex", "age", "site"], age_bands=PAPER, intersections=[("sex", "age"), ("site", "sex")]
    )
    named = {group: np.flatnonzero(mask).tolist() for group, mask in members.items() if "&" in group[0]}
    assert named == {
        ("sex & age", "F & [0,30)"): [0],
        ("sex & age", "F & [30,60)"): [2],
        ("sex & age", "M & [60,70)"): [1],
        ("sex & age", "unknown & [30,60)"): [3],
        ("site & sex", "x & F"): [0],
        ("site & sex", "x & M"): [1],
        ("site & sex", "y & F"): [2],
        ("site & sex", "y & unknown"): [3],
    }
    assert list(named)[:4] == list(dict.fromkeys(group for group in members if group[0] == "sex & age"))


def test_findings_of_an_image_are_counted() -> None:
    nan = np.nan
    labels = np.array([[0, 0, nan, 0], [1, nan, nan, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
    members = groups.of_images(
        people(), columns=["sex"], age_bands=PAPER, labels=labels, intersections=[("sex", "findings")]
    )
    named = {group: np.flatnonzero(mask).tolist() for group, mask in members.items()}
    assert {group[1]: rows for group, rows in named.items() if group[0] == "findings"} == {
        "0": [0],
        "1": [1],
        "2": [2],
        "3+": [3],
    }
    assert named["sex & findings", "F & 2"] == [2]


def test_a_single_finding_makes_no_groups_of_its_number() -> None:
    members = groups.of_images(people(), columns=[], age_bands=PAPER, labels=np.array([[0.0], [1.0], [1.0], [0.0]]))
    assert list(members) == [("all", "all")]


def test_only_the_default_pair_may_lack_its_columns() -> None:
    images = people()[["sex"]]
    default = groups.of_images(images, columns=["sex"], age_bands=PAPER, intersections=groups.DEFAULT_INTERSECTIONS)
    assert {column for column, _ in default} == {"all", "sex"}
    wished = [("sex", "age"), ("sex", "bedside")]
    with pytest.raises(ValueError, match=r"no column age, only sex; take the pair sex and age out, or give"):
        groups.of_images(images, columns=["sex"], age_bands=PAPER, intersections=wished)
    with pytest.raises(ValueError, match="no column scanner, only sex; take the pair scanner and sex out"):
        groups.of_images(images, columns=["sex"], age_bands=PAPER, intersections=[("scanner", "sex")])


def test_a_pair_of_many_values_is_no_grouping() -> None:
    images = pd.DataFrame({"site": [f"s{n % 10}" for n in range(90)], "scanner": [f"c{n % 9}" for n in range(90)]})
    with pytest.raises(ValueError, match=r"column site & scanner has 90 values, too many"):
        groups.of_images(images, columns=["site", "scanner"], age_bands=PAPER, intersections=[("site", "scanner")])


def test_blank_and_missing_values_are_unknown_and_whole_numbers_have_no_point() -> None:
    images = pd.DataFrame({"ward": ["ICU", " ", "ICU ", None], "study": [1.0, 2.0, np.nan, 1.0]})
    members = groups.of_images(images, columns=["ward", "study"], age_bands=PAPER)
    named = {group: np.flatnonzero(mask).tolist() for group, mask in members.items() if group[0] != "all"}
    assert named == {
        **{("ward", "ICU"): [0, 2], ("ward", "unknown"): [1, 3]},
        **{("study", "1"): [0, 3], ("study", "2"): [1], ("study", "unknown"): [2]},
    }


def test_ages_that_are_no_numbers_are_refused() -> None:
    images = pd.DataFrame({"age": ["41", "060Y", None, "old", ""]})
    with pytest.raises(ValueError, match="column age holds '060Y', 'old'; give years as numbers"):
        groups.of_images(images, columns=["age"], age_bands=PAPER)


def test_every_age_has_a_band() -> None:
    images = pd.DataFrame({"age": ["41", None, "-1", "inf", "", "7"]})
    members = groups.of_images(images, columns=["age"], age_bands=PAPER)
    assert np.sum(list(members.values()), axis=0).tolist() == [2] * 6
    assert [value for column, value in members if column == "age"] == ["[0,30)", "[30,60)", "outside", "unknown"]


def aged(*ages: float, patients: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients or [f"p{order}" for order in range(len(ages))], "age": ages})


def quartiles(images: pd.DataFrame, *, minimum: int = 1) -> tuple[float, ...]:
    return groups.edges_of(images, age_bands="quartiles", minimum=minimum)


def test_quartiles_are_ranked_ages_in_whole_years() -> None:
    assert quartiles(aged(*range(41, 49))) == (0, 43, 45, 47, math.inf)
    assert quartiles(aged(*range(41, 46))) == (0, 43, 44, 45, math.inf)  # ranks 2, 3 and 4 of 5
    assert quartiles(aged(41.9, 42.0, 42.9, 43.1, 44.0, 45.0, 46.0, 47.0)) == (0, 43, 44, 46, math.inf)


def test_quartiles_are_of_patients_with_their_lowest_known_age() -> None:
    images = aged(*range(41, 49), 90, np.nan, 95, np.nan, -3, math.inf)
    images["patient_id"] = [*"abcdefgh", "a", "a", "h", "i", "j", "k"]
    assert quartiles(images) == quartiles(aged(*range(41, 49)))


@pytest.mark.parametrize(
    ("ages", "minimum", "expected"),
    [
        ([50, 50, 50, 50, 50, 50, 50, 60], 1, (0, 51, math.inf)),
        ([50, 60, 60, 60, 60, 60, 60, 60], 1, (0, math.inf)),
        ([50] * 8, 1, (0, math.inf)),
        ([], 1, (0, math.inf)),
        ([50], 0, (0, math.inf)),
        (list(range(40, 48)), 2, (0, 42, 44, 46, math.inf)),
        (list(range(40, 48)), 3, (0, 44, math.inf)),
        (list(range(40, 48)), 5, (0, math.inf)),
    ],
)
def test_bands_that_would_hold_too_few_patients_are_joined(
    ages: list[float], minimum: int, expected: tuple[float, ...]
) -> None:
    assert quartiles(aged(*ages), minimum=minimum) == expected


@pytest.mark.parametrize("patients", [3, 40, 41, 42, 43, 325])
def test_quartile_bands_hold_everyone_once_and_tear_no_year(patients: int) -> None:
    images = aged(*np.random.default_rng(patients).normal(65, 11, patients).clip(20, 95).tolist())
    edges = quartiles(images, minimum=10)
    members = groups.of_images(images, columns=["age"], age_bands=edges)
    of_band = [mask for (column, _), mask in members.items() if column == "age"]
    assert (np.sum(of_band, axis=0) == 1).all()
    assert all(mask.sum() >= min(10, patients) for mask in of_band)
    assert all(edge == math.floor(edge) for edge in edges[:-1])
    if patients == 325:
        years = np.floor(images["age"])
        for quartile, edge in enumerate(edges[1:-1], start=1):
            assert (years < edge).sum() >= quartile * patients / 4 > (years < edge - 1).sum()


def test_the_published_counts_of_the_ct_patients_by_quarter_are_those_of_such_quartiles() -> None:
    counts = pd.read_csv("resources/published/counts.csv").query(
        "dataset == 'pdac' and split == 'test' and what == 'all'"
    )
    held = counts.set_index("group")["n"]
    ages = np.repeat([50.0, 60.0, 70.0, 80.0], [held[f"age_q{quarter}"] for quarter in (1, 2, 3, 4)])
    assert quartiles(aged(*ages), minimum=10) == (0, 51, 61, 71, math.inf)


def test_given_edges_are_taken_as_they_are_and_without_ages_there_are_none() -> None:
    assert groups.edges_of(aged(41.0), age_bands=PAPER, minimum=10) == PAPER
    assert groups.edges_of(people()[["sex"]], age_bands="quartiles", minimum=10) == ()
    with pytest.raises(ValueError, match="age_bands 'thirds' must be quartiles, or the edges"):
        Settings(age_bands="thirds")  # type: ignore[arg-type]
