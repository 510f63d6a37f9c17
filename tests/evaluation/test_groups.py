"""Who belongs to which group."""

import numpy as np
import pandas as pd
import pytest

from privrad.evaluation import groups

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
