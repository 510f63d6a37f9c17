"""Predictions that cannot be measured are refused, with the rows at fault."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def both(tmp_path: Path, *tables: pd.DataFrame) -> predictions.Predictions:
    paths = []
    for order, one in enumerate(tables):
        paths.append(tmp_path / f"predictions-{order}.parquet")
        one.to_parquet(paths[-1])
    return predictions.load(paths)


def load(tmp_path: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    return both(tmp_path, *tables).test


def test_five_columns_are_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, table())
    assert set(loaded["arm"]) == {"model"}
    assert set(loaded["seed"]) == {0}
    assert len(loaded) == 6
    assert predictions.grouping_columns(loaded) == []


def test_an_epsilon_names_its_arm(tmp_path: Path) -> None:
    loaded = load(tmp_path, table(epsilon=0.29), table(epsilon=np.inf))
    assert list(dict.fromkeys(loaded["arm"])) == ["eps-0.29", "eps-inf"]


def test_test_and_validation_rows_are_kept_apart_and_training_rows_left_out(tmp_path: Path) -> None:
    patients = ["p", "q", "r"] * 2
    loaded = both(tmp_path, table(patient_id=patients, split=["test", "validation", "train"] * 2))
    assert loaded.test["image_id"].tolist() == ["a", "a"]
    assert loaded.validation["image_id"].tolist() == ["b", "b"]
    assert loaded.validation.index.tolist() == [0, 1]
    assert loaded.test["image_id"].cat.categories.tolist() == ["a"]


def test_without_a_split_there_is_no_validation(tmp_path: Path) -> None:
    loaded = both(tmp_path, table())
    assert loaded.validation.empty
    assert list(loaded.validation.columns) == list(loaded.test.columns)


@pytest.mark.parametrize("other", ["validation", "train"])
def test_a_patient_in_two_splits_is_named(tmp_path: Path, other: str) -> None:
    in_two = table(split=["test", other, "test"] * 2)
    with pytest.raises(
        predictions.PredictionsError, match=rf"in two splits \(test and {other}\): patient 'p'; a model"
    ):
        load(tmp_path, in_two)
    halves = [in_two[in_two["split"] == split] for split in ("test", other)]
    with pytest.raises(predictions.PredictionsError, match=r"in two splits \(test and .*\): patient 'p'; "):
        load(tmp_path, *halves)


def test_validation_rows_are_held_to_the_same_rules(tmp_path: Path) -> None:
    split = {"patient_id": ["p", "q", "r"] * 2, "split": ["test", "validation", "test"] * 2}
    labels = pd.concat([table(**split), table(**split, epsilon=1.0, label=[0, 0, 0, 1, 0, 0])])
    with pytest.raises(predictions.PredictionsError, match="two labels for one image and finding: image 'b'"):
        load(tmp_path, labels)
    with pytest.raises(
        predictions.PredictionsError, match="scores an image twice: image 'b', finding 'effusion'; keep"
    ):
        load(tmp_path, table(**split), table(**split).iloc[[1]])
    with pytest.raises(predictions.PredictionsError, match="image 'b' has two values of sex"):
        load(tmp_path, table(**split, sex=["F", "F", "F", "F", "M", "F"]))


def test_texts_of_all_files_are_ordered_alike(tmp_path: Path) -> None:
    renamed = table(epsilon=1.0, image_id=["Z", "ä", "A"] * 2, patient_id=["10", "9", "9"] * 2)
    loaded = load(tmp_path, table(epsilon=2.0), renamed)
    assert loaded["image_id"].cat.categories.tolist() == ["A", "Z", "a", "b", "c", "ä"]
    assert loaded["patient_id"].cat.categories.tolist() == ["10", "9", "p", "q"]
    assert loaded["image_id"].tolist() == ["a", "b", "c"] * 2 + ["Z", "ä", "A"] * 2
    assert loaded["arm"].tolist() == ["eps-2"] * 6 + ["eps-1"] * 6


def test_a_column_that_one_file_lacks_is_empty_there(tmp_path: Path) -> None:
    renamed = table(image_id=["d", "e", "f"] * 2, patient_id=["r", "s", "t"] * 2)
    loaded = load(tmp_path, table(sex="F", bedside=True, age=40.0), renamed)
    assert predictions.grouping_columns(loaded) == ["sex", "bedside", "age"]
    assert loaded[["sex", "bedside", "age"]].iloc[0].tolist() == ["F", True, 40.0]
    assert loaded[["sex", "bedside", "age"]].iloc[6:].isna().all(axis=None)


def test_nullable_and_coded_columns_are_read_alike(tmp_path: Path) -> None:
    given = table(
        image_id=pd.Categorical(["a", "b", "c"] * 2),
        patient_id=pd.array([7, 7, 8] * 2, dtype="Int64"),
        finding=pd.array(["effusion"] * 3 + ["atelectasis"] * 3, dtype="string"),
        label=pd.array([False, True, False, True, False, False], dtype="boolean"),
        score=pd.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.3], dtype="Float32"),
        seed=pd.array([1] * 6, dtype="Int8"),
        bedside=pd.array([True, None, False] * 2, dtype="boolean"),
    )
    loaded = load(tmp_path, given)
    assert loaded["label"].tolist() == [0, 1, 0, 1, 0, 0]
    assert loaded["score"].to_numpy() == pytest.approx([0.1, 0.9, 0.4, 0.6, 0.2, 0.3], abs=1e-7)
    assert loaded["patient_id"].tolist() == ["7", "7", "8"] * 2
    assert loaded["bedside"].tolist() == [True, None, False] * 2
    assert set(loaded["seed"]) == {1}


def test_the_index_of_a_table_that_was_filtered_is_no_grouping(tmp_path: Path) -> None:
    shuffled = table().iloc[[5, 1, 3, 0, 2, 4]]
    assert predictions.grouping_columns(load(tmp_path, shuffled)) == []
    assert load(tmp_path, shuffled.set_index("image_id"))["image_id"].tolist() == ["c", "b", "a", "a", "c", "b"]


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
        ({"score": pd.array([0.1, None, 0.4, 0.6, 0.2, 0.3], dtype="Float64")}, r"is not a number \(row 1: nan\)"),
        ({"score": [0.1, 0.9, 0.4, -np.inf, 0.2, 0.3]}, r"outside \[0, 1\] \(row 3: -inf\)"),
        ({"score": np.linspace(2, 3, 6)}, r"row 4: 2\.8 and 1 more\); give probabilities"),
        ({"score": [True, False] * 3}, "column score is bool; it must hold numbers"),
        ({"score": None}, r"score is not a number \(row 0: nan.* and 1 more\)"),
        ({"label": list("010100")}, "column label is .*string; it must hold numbers"),
        ({"label": pd.array([0, 1, None, 1, 0, 0], dtype="Int8")}, r"label is neither 0 nor 1 \(row 2: nan\)"),
        ({"label": [0, 0.5, 0, 1, 0, 0]}, r"label is neither 0 nor 1 \(row 1: 0\.5\)"),
        ({"patient_id": ["p", " ", "q", "p", "p", "q"]}, r"patient_id is blank \(row 1:  \); give every row one"),
        ({"image_id": ["a", "", "c", "a", "", "c"]}, r"image_id is blank \(row 1: , row 4: \)"),
        ({"finding": [""] * 6}, "finding is blank"),
        ({"image_id": [1.0, 2.0, 3.5] * 2}, "column image_id is double; it must hold text or whole numbers"),
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
    with pytest.raises(predictions.PredictionsError, match=r"p\.parquet.*give a Parquet file.*read_csv"):
        predictions.load([tmp_path / "p.parquet"])
    with pytest.raises(predictions.PredictionsError, match=r"nowhere\.parquet.*give a Parquet file"):
        predictions.load([tmp_path / "nowhere.parquet"])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    arrow = pa.Table.from_pandas(table(sex="F"))
    pq.write_table(arrow.append_column("sex", arrow.column("sex")), tmp_path / "p.parquet")
    with pytest.raises(predictions.PredictionsError, match="two columns are named sex; keep one of each"):
        predictions.load([tmp_path / "p.parquet"])


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(predictions.PredictionsError, match="of the test split, only an empty table"):
        load(tmp_path, table().head(0))


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
        ({"seed": np.inf}, "seed is no whole number"),
        ({"seed": True}, "seed is no whole number"),
        (
            {"split": ["test", "val", "test"] * 2},
            r"split is none of train, validation, test \(row 1: val, row 4: val\)",
        ),
        ({"split": "", "arm": "x"}, "split is blank.*or leave the column out"),
        ({"arm": ["x", "", "x"] * 2}, r"arm is blank \(row 1: , row 4: \)"),
        ({"epsilon": [1.0, -0.5, 1.0] * 2}, r"epsilon is below 0 \(row 1: -0\.5, row 4: -0\.5\); give the budget"),
        ({"epsilon": "inf"}, "column epsilon is .*string; it must hold numbers"),
        ({"epsilon": True}, "column epsilon is bool; it must hold numbers"),
        ({"finding": "any"}, "finding has the name of any finding at all"),
        ({"findings": 3}, "column findings has the name of the number of findings; rename it"),
        ({"sex & age": "x"}, "column sex & age is named like a pair of columns; rename it"),
        ({"all": "x"}, "column all has the name of the whole"),
        ({"sex": [["F"]] * 6}, "column sex holds lists"),
        ({"arm": "x", "epsilon": [1.0, 1.0, 2.0] * 2}, "arm 'x' has 2 epsilons"),
    ],
)
def test_no_row_is_left_out_silently(changed: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(predictions.PredictionsError, match=said):
        load(tmp_path, table(**changed))
