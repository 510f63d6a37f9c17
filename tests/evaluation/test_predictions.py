"""Predictions that cannot be measured are refused, with the rows at fault."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privrad.evaluation import predictions

TWICE = {"image_id": ["a", "b", "a", "a", "b", "c"], "patient_id": ["p"] * 6}


def table(**changed: object) -> pd.DataFrame:
    rows: dict[str, object] = {
        "image_id": ["a", "b", "c", "a", "b", "c"],
        "patient_id": ["p", "p", "q", "p", "p", "q"],
        "finding": ["effusion"] * 3 + ["atelectasis"] * 3,
        "label": [0, 1, 0, 1, 0, 0],
        "score": [0.1, 0.9, 0.4, 0.6, 0.2, 0.3],
    }
    return pd.DataFrame(rows | changed)


def load(tmp_path: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    paths = []
    for order, one in enumerate(tables):
        paths.append(tmp_path / f"predictions-{order}.parquet")
        one.to_parquet(paths[-1])
    return predictions.load(paths)


def test_five_columns_are_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, table())
    assert set(loaded["arm"]) == {"model"}
    assert set(loaded["seed"]) == {0}
    assert len(loaded) == 6
    assert predictions.grouping_columns(loaded) == []


def test_an_epsilon_names_its_arm(tmp_path: Path) -> None:
    loaded = load(tmp_path, table(epsilon=0.29), table(epsilon=np.inf))
    assert list(dict.fromkeys(loaded["arm"])) == ["eps-0.29", "eps-inf"]


def test_only_test_rows_are_measured(tmp_path: Path) -> None:
    loaded = load(tmp_path, table(split=["test", "validation", "test"] * 2))
    assert sorted(loaded["image_id"]) == ["a", "a", "c", "c"]


def test_what_is_left_over_is_for_grouping(tmp_path: Path) -> None:
    assert predictions.grouping_columns(load(tmp_path, table(sex="F", site="x"))) == ["sex", "site"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": [0.1, np.nan, 0.4, 0.6, 0.2, 0.3]}, r"score is not a number \(row 1: nan\)"),
        ({"score": [0.1, 0.9, 0.4, 1.6, 0.2, -3]}, r"score is outside \[0, 1\] \(row 3: 1\.6, row 5: -3\.0\).*logits"),
        ({"score": [0.1, 0.9, 0.4, np.inf, 0.2, 0.3]}, r"outside \[0, 1\] \(row 3: inf\)"),
        ({"score": list("abcdef")}, "column score is .*must hold numbers"),
        ({"label": [0, 1, 2, 1, 0, 0]}, r"label is neither 0 nor 1 \(row 2: 2\)"),
        ({"label": [0, 1, None, 1, 0, 0]}, r"label is neither 0 nor 1 \(row 2: nan\)"),
        (TWICE | {"label": [0, 1, 1, 1, 0, 0]}, "two labels.*image 'a', finding 'effusion'"),
        (TWICE, "scores an image twice.*image 'a', finding 'effusion'"),
        ({"patient_id": ["p", "p", "q", "r", "p", "q"]}, "image 'a' has two values of patient_id"),
        ({"sex": ["F", "F", "M", "M", "F", "M"]}, "image 'a' has two values of sex"),
        ({"patient_id": ["p", None, "q", "p", "p", "q"]}, r"patient_id is missing \(row 1: "),
        ({"split": "train"}, "no prediction is of the test split, only train"),
    ],
)  # fmt: skip
def test_refused_with_the_rows_at_fault(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(predictions.PredictionsError, match=message):
        load(tmp_path, table(**changed))


def test_models_must_agree_on_labels(tmp_path: Path) -> None:
    with pytest.raises(predictions.PredictionsError, match="two labels for one image and finding: image 'b'"):
        load(tmp_path, table(epsilon=1.0), table(epsilon=2.0, label=[0, 0, 0, 1, 0, 0]))


@pytest.mark.parametrize("column", predictions.REQUIRED)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(predictions.PredictionsError, match=f"no column {column}; it has .*; needed are"):
        load(tmp_path, table().drop(columns=column))


def test_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("image_id,score\n")
    with pytest.raises(predictions.PredictionsError, match=r"p\.parquet.*give a Parquet file"):
        predictions.load([tmp_path / "p.parquet"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arm": ["x", "x", None, "x", "x", "x"]}, r"arm is missing \(row 2"),
        ({"split": ["test", None, "test", "test", "test", "test"]}, r"split is missing \(row 1"),
        ({"split": None}, "split is missing"),
        ({"seed": [0, 0, 0, 0, 0, np.nan]}, r"seed is no whole number \(row 5"),
        ({"seed": "first"}, "seed is no whole number"),
        ({"seed": 0.5}, "seed is no whole number"),
        ({"finding": "mean"}, "finding has the name of the mean over findings"),
        ({"all": "x"}, "column all has the name of the whole"),
        ({"sex": [["F"]] * 6}, "column sex holds lists"),
        ({"arm": "x", "epsilon": [1.0, 1.0, 2.0] * 2}, "arm 'x' has 2 epsilons"),
    ],
)
def test_no_row_is_left_out_silently(changed: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(predictions.PredictionsError, match=said):
        load(tmp_path, table(**changed))
