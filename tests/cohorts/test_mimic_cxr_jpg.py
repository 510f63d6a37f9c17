"""MIMIC-CXR-JPG: its versions, and the labels that a radiologist gave; what else it does is in test_adapters."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from privrad.cohorts import mimic_cxr_jpg
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import MIMIC_LABELS, cohort, mimic_row, run_ingest, write_mimic

TABLES = (mimic_cxr_jpg.METADATA, mimic_cxr_jpg.CHEXPERT, mimic_cxr_jpg.SPLIT)
BY_HAND = "mimic-cxr-2.1.0-test-set-labeled.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    table = [
        mimic_row("d1", "10000032", "50000001"),
        mimic_row("d2", "11000045", "50000002", split="test"),
        mimic_row("d3", "11000045", "50000003", split="test"),
    ]
    return write_mimic(tmp_path / "mimic", table)


def unpack(root: Path, name: str) -> None:
    (root / name.removesuffix(".gz")).write_bytes(gzip.decompress((root / name).read_bytes()))
    (root / name).unlink()


def test_tables_are_found_under_either_version_packed_or_not(root: Path, tmp_path: Path) -> None:
    before = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "before").images
    for name in TABLES:
        (root / name).rename(root / name.replace("2.0.0", "2.1.0"))
    newer = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "newer").images
    for name in TABLES:
        unpack(root, name.replace("2.0.0", "2.1.0"))
    unpacked = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "unpacked").images
    assert len(before) == 3
    assert before.equals(newer)
    assert before.equals(unpacked)


def test_the_newer_of_two_tables_counts(root: Path, tmp_path: Path) -> None:
    labels = pd.read_csv(root / mimic_cxr_jpg.CHEXPERT, dtype=str).assign(Cardiomegaly="0.0")
    labels.to_csv(root / mimic_cxr_jpg.CHEXPERT.replace("2.0.0", "2.1.0"), index=False)
    images = run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS), tmp_path / "out").images
    assert list(images["cardiomegaly"]) == [0, 0, 0]


def by_hand(root: Path, **columns: list[str]) -> None:
    pd.DataFrame({"study_id": ["50000002", "59999999"], **columns}).to_csv(root / BY_HAND, index=False)


def test_labels_by_hand_count_only_where_the_study_asks_for_them(root: Path, tmp_path: Path) -> None:
    mined = pd.read_csv(root / mimic_cxr_jpg.CHEXPERT, dtype=str).assign(**{"Lung Opacity": "0.0"})
    mined.to_csv(root / mimic_cxr_jpg.CHEXPERT, index=False)
    by_hand(root, **{"Cardiomegaly": ["-1.0", "1.0"], "Airspace Opacity": ["1.0", ""]})
    labels = {"cardiomegaly": "Cardiomegaly", "opacity": "Lung Opacity"}
    without = run_ingest(cohort("mimic_cxr_jpg", root, labels), tmp_path / "without")
    assert without.images[list(labels)].to_numpy().tolist() == [[1, 0], [1, 0], [1, 0]]
    asked = run_ingest(cohort("mimic_cxr_jpg", root, labels, {"test_labels": BY_HAND}), tmp_path / "asked")
    assert list(asked.images["source_study"]) == ["50000001", "50000002"]
    assert asked.images[list(labels)].to_numpy().tolist() == [[1, 0], [0, 1]]
    assert asked.refused == {"left_out": 1}
    assert asked.rejects == []


def test_an_unknown_word_by_hand_is_refused(root: Path, tmp_path: Path) -> None:
    by_hand(root, Cardiomegaly=["maybe", "1.0"])
    chosen = cohort("mimic_cxr_jpg", root, {"cardiomegaly": "Cardiomegaly"}, {"test_labels": BY_HAND})
    assert run_ingest(chosen, tmp_path / "out").refused == {"left_out": 1, "unknown_label": 1}


def test_a_table_by_hand_that_cannot_be_used_is_an_error(root: Path, tmp_path: Path) -> None:
    chosen = cohort("mimic_cxr_jpg", root, {"cardiomegaly": "Cardiomegaly"}, {"test_labels": BY_HAND})
    with pytest.raises(CohortError, match=f"table {BY_HAND} is missing"):
        run_ingest(chosen, tmp_path / "out")
    by_hand(root, Edema=["1.0", "1.0"])
    with pytest.raises(CohortError, match="lacks column Cardiomegaly; it has study_id, Edema"):
        run_ingest(chosen, tmp_path / "out")
    pd.DataFrame({"study_id": ["1", "1"], "Cardiomegaly": ["", ""]}).to_csv(root / BY_HAND, index=False)
    with pytest.raises(CohortError, match="1 rows that repeat study_id"):
        run_ingest(chosen, tmp_path / "out")
    pd.DataFrame({"study_id": ["1", "2"], "Cardiomegaly": ["", ""]}).to_csv(root / BY_HAND, index=False)
    with pytest.raises(CohortError, match=r"names no study of this cohort; correct columns\.test_labels"):
        run_ingest(chosen, tmp_path / "out")
    with pytest.raises(CohortError, match="columns has view; layout mimic_cxr_jpg takes table, test_labels"):
        run_ingest(cohort("mimic_cxr_jpg", root, MIMIC_LABELS, {"view": "none"}), tmp_path / "out")
