"""Split: by hash or by the cohort's own table, patient by patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privrad import config
from privrad.cohorts import identity, split
from privrad.cohorts import manifest as manifests
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import KEY

FINDINGS = ["pneumonia"]


def images_of(patients: Sequence[str], **columns: Any) -> pd.DataFrame:
    """A manifest with one image for each entry of `patients`."""
    image_ids = [identity.keyed_id(KEY, "image", f"{number} of {patient}") for number, patient in enumerate(patients)]
    patient_ids = [identity.keyed_id(KEY, "patient", patient) for patient in patients]
    table = pd.DataFrame({"image_id": image_ids, "patient_id": patient_ids, "study_id": image_ids})
    fixed = {
        "view": "PA",
        "age": 50.0,
        "sex": "F",
        "bedside": False,
        "site": "here",
        "source_split": "",
        "pneumonia": 0,
    }
    filled: dict[str, Any] = fixed | columns
    table = table.assign(**filled).astype({"bedside": "boolean", "pneumonia": "int8", "age": "float64"})
    return table.sort_values("image_id", ignore_index=True)


def run(folder: Path, images: pd.DataFrame, chosen: config.Split, **more: Any) -> tuple[pd.Series, pd.DataFrame]:
    folder.mkdir(exist_ok=True)
    manifests.write(folder / "manifest.parquet", images, findings=FINDINGS)
    places: dict[str, Any] = {"assignment": folder / "assignment.parquet", "balance": folder / "balance.csv"}
    split.run(chosen, findings=FINDINGS, manifest=folder / "manifest.parquet", key=KEY, **places, **more)
    assignment = pd.read_parquet(places["assignment"])
    assert list(assignment.columns) == ["patient_id", "split"]
    assert assignment["patient_id"].is_monotonic_increasing
    return assignment.set_index("patient_id")["split"], pd.read_csv(places["balance"])


def by_hash(patients: Sequence[str], chosen: config.Split) -> dict[str, str]:
    fractions = pd.Series({patient: identity.fraction(KEY, "split", patient) for patient in patients}, dtype="float64")
    return dict(split.by_hash(fractions, chosen))


def test_shares_are_met_and_each_patient_has_one_part(tmp_path: Path) -> None:
    parts, _ = run(tmp_path, images_of([str(number // 2) for number in range(6000)]), config.Split())
    assert len(parts) == 3000
    shares = parts.value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)
    assert shares["train"] == pytest.approx(0.7, abs=0.03)


def test_a_part_follows_from_key_and_patient_id(tmp_path: Path) -> None:
    images = images_of(["Anna", "Bert", "Cleo", "Dora"])
    parts, _ = run(tmp_path, images, config.Split(validation=0.2, test=0.3))
    for patient, part in parts.items():
        drawn = identity.fraction(KEY, "split", str(patient))
        assert part == ("test" if drawn < 0.3 else "validation" if drawn < 0.5 else "train")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.text(max_size=8), min_size=1, max_size=40), st.data())
def test_one_patient_more_or_less_moves_nobody_else(patients: set[str], data: st.DataObject) -> None:
    chosen = config.Split(validation=0.25, test=0.35)
    some = data.draw(st.sets(st.sampled_from(sorted(patients))))
    before, after = by_hash(sorted(some), chosen), by_hash(sorted(patients), chosen)
    assert all(after[patient] == part for patient, part in before.items())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.text(max_size=8), min_size=1, max_size=40), st.floats(0, 0.4), st.floats(0, 0.4))
def test_a_smaller_test_share_only_gives_patients_back(patients: set[str], low: float, high: float) -> None:
    low, high = sorted((low, high))
    small, large = (by_hash(sorted(patients), config.Split(validation=0, test=share)) for share in (low, high))
    assert {patient for patient in small if small[patient] == "test"} <= {
        patient for patient in large if large[patient] == "test"
    }


def test_the_cohorts_own_parts_are_taken(tmp_path: Path) -> None:
    images = images_of(["a", "b", "c"], source_split=["train", "validation", "test"])
    parts, _ = run(tmp_path, images, config.Split(by="table", validation=0.9, test=0))
    own = images.set_index("patient_id")["source_split"]
    assert parts.to_dict() == own.to_dict()


def test_validation_comes_out_of_training_where_the_table_has_none(tmp_path: Path) -> None:
    names = [str(number) for number in range(2000)]
    sources = ["train" if number % 4 else "test" for number in range(2000)]
    ids = images_of(names).set_index("patient_id").index
    wanted = {identity.keyed_id(KEY, "patient", name): source for name, source in zip(names, sources, strict=True)}
    images = images_of(names).assign(source_split=[wanted[patient] for patient in ids])
    parts, _ = run(tmp_path, images, config.Split(by="table", validation=0.2, test=0.5))
    counts = parts.value_counts()
    assert counts["test"] == 500
    assert counts["validation"] == pytest.approx(300, abs=50)
    assert {wanted[str(patient)] for patient in parts.index[parts == "validation"]} == {"train"}


def test_a_patient_in_two_parts_is_an_error_that_shows_no_plain_id(tmp_path: Path) -> None:
    images = images_of(["Anna", "Anna", "Bert"])
    torn = identity.keyed_id(KEY, "patient", "Anna")
    first = images.index[images["patient_id"] == torn][0]
    images["source_split"] = ["test" if number == first else "train" for number in images.index]
    with pytest.raises(CohortError, match=rf"1 patients stand in more than one part \({torn};.*by: hash") as caught:
        run(tmp_path, images, config.Split(by="table"))
    assert "Anna" not in str(caught.value)
    assert not (tmp_path / "assignment.parquet").exists()


def test_a_blank_part_is_an_error(tmp_path: Path) -> None:
    images = images_of(["a", "b"], source_split=["train", ""])
    with pytest.raises(CohortError, match="1 of 2 images have no split; fill in"):
        run(tmp_path, images, config.Split(by="table"))


def test_nobody_to_train_on_is_an_error_and_an_empty_part_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CohortError, match="none of 1 patients is left to train on"):
        run(tmp_path, images_of(["a"], source_split="test"), config.Split(by="table"))
    run(tmp_path, images_of(["a"], source_split="train"), config.Split(by="table", validation=0))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "split: no patient is in validation",
        "split: no patient is in test",
    ]


def test_the_balance_counts_images_and_patients(tmp_path: Path) -> None:
    images = images_of(
        ["a", "a", "b", "c"],
        source_split="train",
        age=[29.9, 30.0, 85.0, None],
        sex=["F", "F", "F", "U"],
        pneumonia=[1, 0, 1, 0],
    )
    _, balance = run(tmp_path, images, config.Split(by="table", validation=0))
    assert list(balance.columns) == ["split", "column", "value", "images", "patients"]
    counts = {(part, column, value): (images, patients) for part, column, value, images, patients in balance.to_numpy()}
    assert counts["train", "all", "all"] == (4, 3)
    assert counts["train", "sex", "F"] == (3, 2)
    assert counts["train", "sex", "U"] == (1, 1)
    assert counts["train", "sex", "M"] == (0, 0)
    assert counts["train", "pneumonia", "positive"][0] == 2
    bands = {"[0,30)": 1, "[30,60)": 1, "[60,70)": 0, "[70,80)": 0, "[80,inf)": 1, "unknown": 1}
    assert {band: counts["train", "age", band][0] for band in bands} == bands
    assert all(counts[group] == (0, 0) for group in counts if group[0] == "test")
    assert len(counts) == 3 * (1 + 3 + len(bands) + 1)


def test_a_cohort_to_be_tested_on_needs_test_patients(tmp_path: Path) -> None:
    manifests.write(tmp_path / "manifest.parquet", images_of(["a"], source_split="train"), findings=FINDINGS)
    with pytest.raises(CohortError, match="none of 1 patients is left to test on"):
        split.run(
            config.Split(by="table", validation=0),
            findings=FINDINGS,
            manifest=tmp_path / "manifest.parquet",
            key=KEY,
            assignment=tmp_path / "assignment.parquet",
            balance=tmp_path / "balance.csv",
            needed=("train", "test"),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.parquet"]
