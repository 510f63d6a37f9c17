"""CheXpert: its folders and tables as they are published, with small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import cohort, run_ingest

SMALL = "CheXpert-v1.0-small"
FULL = "CheXpert-v1.0"
BATCHES = {"patient00001": f"{FULL} batch 2 (train 1)", "patient00002": f"{FULL} batch 3 (train 2)"}
LABELS = {"cardiomegaly": "Cardiomegaly", "effusion": "Pleural Effusion"}
JPEG = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()


def row(path: str, **changes: str) -> dict[str, str]:
    known = {"Path": path, "Sex": "Female", "Age": "68", "Frontal/Lateral": "Frontal", "AP/PA": "AP"}
    return known | {"No Finding": "", "Cardiomegaly": "1.0", "Pleural Effusion": ""} | changes


def train(name: str, **changes: str) -> dict[str, str]:
    return row(f"{SMALL}/train/{name}", **changes)


VALID = [row(f"{SMALL}/valid/patient64541/study1/view1_frontal.jpg", Sex="Male", **{"AP/PA": "PA"})]


def write(folder: Path, tables: Mapping[str, Sequence[Mapping[str, str]]], *, pictures: Sequence[str] = ()) -> Path:
    """The tables, and a picture for each path in them, or those in `pictures` in their place."""
    named = [
        line["Path"].replace(f"{SMALL}/", "").replace(f"{FULL}/", "") for lines in tables.values() for line in lines
    ]
    for name in pictures or named:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG)
    for name, lines in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(lines).to_csv(folder / name, index=False)
    return folder


def test_images_labels_ages_and_sexes(tmp_path: Path) -> None:
    lines = [
        train("patient00001/study1/view1_frontal.jpg"),
        train("patient00001/study1/view2_lateral.jpg", **{"Frontal/Lateral": "Lateral", "AP/PA": ""}),
        train("patient00001/study2/view1_frontal.jpg", Age="69", Cardiomegaly="-1.0", **{"Pleural Effusion": "0.0"}),
        train("patient00002/study1/view1_frontal.jpg", Sex="Unknown", Cardiomegaly="", **{"Pleural Effusion": "1.0"}),
        train("patient00003/study1/view1_frontal.jpg", Age="0", **{"AP/PA": "LL"}),
    ]
    root = write(tmp_path / SMALL, {"train.csv": lines, "valid.csv": VALID})
    out = run_ingest(cohort("chexpert", root, LABELS), tmp_path / "out")
    images = out.images
    assert list(images.index) == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00001/study2/view1_frontal.jpg",
        "train/patient00002/study1/view1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]
    assert list(images["source_patient"]) == ["patient00001", "patient00001", "patient00002", "patient64541"]
    assert list(images["source_study"])[:2] == ["patient00001/study1", "patient00001/study2"]
    assert list(images["cardiomegaly"]) == [1, 0, 0, 1]
    assert list(images["effusion"]) == [0, 0, 1, 0]
    assert list(images["sex"]) == ["F", "F", "U", "M"]
    assert list(images["age"]) == [68, 69, 68, 68]
    assert list(images["view"]) == ["AP", "AP", "AP", "PA"]
    assert list(images["source_split"]) == ["train", "train", "train", "test"]
    assert out.refused == {"not_frontal": 2}


def test_each_fault_of_a_row_has_its_reason(tmp_path: Path) -> None:
    lines = [
        train("patient00001/study1/view1_frontal.jpg"),
        train("patient00001/study1/view1_frontal.jpg"),
        train("patient00002/study1/view1_frontal.jpg", Cardiomegaly="2.0"),
        train("patient00003/study1/view1_frontal.jpg", Sex="Male"),
        train("patient00003/study2/view1_frontal.jpg", Sex="Female"),
        train("patient00004/study1/view1_frontal.jpg", Age="190"),
        train("patient00005/study1/view1_frontal.jpg", Sex="Hombre"),
        train("patient00006/study1/view1_frontal.jpg"),
        train("view1_frontal.jpg"),
        train("../../../patient00007/study1/view1_frontal.jpg"),
    ]
    there = [line["Path"].removeprefix(f"{SMALL}/") for line in [*lines[:7], *VALID]]
    root = write(tmp_path / SMALL, {"train.csv": lines, "valid.csv": VALID}, pictures=there)
    out = run_ingest(cohort("chexpert", root, LABELS), tmp_path / "out")
    assert len(out.images) == 2
    assert [reason for _, reason in out.rejects] == [
        "duplicate_image",
        "unknown_label",
        "patient_with_two_sexes",
        "patient_with_two_sexes",
        "implausible_age",
        "unknown_sex",
        "missing_file",
        "missing_value",
        "outside_root",
    ]


@pytest.mark.parametrize("above", [SMALL, FULL])
def test_the_root_may_be_the_folder_above(tmp_path: Path, above: str) -> None:
    lines = [row(f"{above}/train/patient00001/study1/view1_frontal.jpg")]
    write(tmp_path / above, {"train.csv": lines, "valid.csv": VALID})
    out = run_ingest(cohort("chexpert", tmp_path, LABELS), tmp_path / "out")
    assert list(out.images.index) == [
        f"{above}/train/patient00001/study1/view1_frontal.jpg",
        f"{above}/valid/patient64541/study1/view1_frontal.jpg",
    ]


def test_the_root_may_hold_the_batches_and_other_training_labels(tmp_path: Path) -> None:
    first = f"{FULL} batch 1 (validate & csv)"
    lines = [row(f"{FULL}/train/{patient}/study1/view1_frontal.jpg") for patient in [*BATCHES, "patient00003"]]
    pictures = [f"{batch}/{patient}/study1/view1_frontal.jpg" for patient, batch in BATCHES.items()]
    pictures += [f"{first}/valid/patient64541/study1/view1_frontal.jpg"]
    mined_again = [line | {"Cardiomegaly": "0.0"} for line in lines]
    tables = {f"{first}/train.csv": lines, f"{first}/valid.csv": VALID, "train_cheXbert.csv": mined_again}
    write(tmp_path, tables, pictures=pictures)
    out = run_ingest(cohort("chexpert", tmp_path, LABELS), tmp_path / "out")
    assert sorted(out.images.index) == sorted(pictures)
    assert out.rejects == [(f"{first}/train/patient00003/study1/view1_frontal.jpg", "missing_file")]
    assert list(out.images["cardiomegaly"]) == [1, 1, 1]
    other = run_ingest(cohort("chexpert", tmp_path, LABELS, {"table": "train_cheXbert.csv"}), tmp_path / "other")
    assert other.images["cardiomegaly"].groupby(other.images["source_split"]).sum().to_dict() == {"train": 0, "test": 1}


def test_beside_the_test_table_the_radiologists_first_set_is_for_validation(tmp_path: Path) -> None:
    names = ("view1_frontal.jpg", "view2_lateral.jpg")
    last = [
        {"Path": f"test/patient64741/study1/{name}", "Cardiomegaly": "1.0", "Pleural Effusion": "0.0"} for name in names
    ]
    tables = {
        "train.csv": [train("patient00001/study1/view1_frontal.jpg")],
        "valid.csv": VALID,
        "test_labels.csv": last,
    }
    out = run_ingest(cohort("chexpert", write(tmp_path / SMALL, tables), LABELS), tmp_path / "out")
    assert list(out.images["source_split"]) == ["test", "train", "validation"]
    image = out.images.loc["test/patient64741/study1/view1_frontal.jpg"]
    assert (image["view"], image["sex"], image["source_patient"], image["cardiomegaly"]) == ("", "U", "patient64741", 1)
    assert pd.isna(image["age"])
    assert out.refused == {"not_frontal": 1}


def test_a_fault_of_a_whole_table_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / SMALL, {"train.csv": [train("patient00001/study1/view1_frontal.jpg")], "valid.csv": VALID})
    with pytest.raises(
        CohortError, match=r"table train.csv lacks column Oedema; it has Path, Sex.*labels of the cohort"
    ):
        run_ingest(cohort("chexpert", root, {"edema": "Oedema"}), tmp_path / "out")
    without_sex = pd.read_csv(root / "valid.csv", dtype=str).drop(columns="Sex")
    without_sex.to_csv(root / "valid.csv", index=False)
    with pytest.raises(CohortError, match=r"table valid.csv lacks column Sex"):
        run_ingest(cohort("chexpert", root, LABELS), tmp_path / "out")
    (root / "train.csv").write_bytes((root / "train.csv").read_text().encode("utf-16"))
    with pytest.raises(CohortError, match=r"table train.csv is not UTF-8 text"):
        run_ingest(cohort("chexpert", root, LABELS), tmp_path / "out")
    (root / "valid.csv").unlink()
    (root / "train.csv").unlink()
    with pytest.raises(CohortError, match=r"table train.csv is missing"):
        run_ingest(cohort("chexpert", root, LABELS), tmp_path / "out")
    with pytest.raises(CohortError, match="columns has sex; layout chexpert takes table"):
        run_ingest(cohort("chexpert", root, LABELS, {"sex": "Gender"}), tmp_path / "out")
