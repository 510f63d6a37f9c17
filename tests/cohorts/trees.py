"""Small cohorts on disk, and ingest of them, for the tests of this folder. Most images are empty files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privrad import config
from privrad.cohorts import abdomen, ingest, locate, mimic_cxr_jpg
from privrad.cohorts.phantom_ct_files import Header, series

KEY = bytes(range(32))
UKA_LABELS = {"cardiomegaly": "heart", "congestion": "congestion"}
PDAC_LABELS = {"pdac": "pdac"}
PANORAMA_LABELS = {"pdac": "PDAC"}
MIMIC_LABELS = {"cardiomegaly": "Cardiomegaly", "effusion": "Pleural Effusion"}


@dataclass(frozen=True)
class Outputs:
    """Where ingest writes, and what it wrote."""

    folder: Path

    @property
    def places(self) -> dict[str, Path]:
        names = {"manifest": "manifest.parquet", "paths": "paths.parquet", "refused": "r.csv", "rejects": "x.csv"}
        return {role: self.folder / role / name for role, name in names.items()}

    @property
    def images(self) -> pd.DataFrame:
        """The manifest with the plain path, patient and study of each image, indexed by path."""
        manifest, paths = pd.read_parquet(self.places["manifest"]), pd.read_parquet(self.places["paths"])
        return manifest.merge(paths, on="image_id", validate="1:1").set_index("path").sort_index()

    @property
    def refused(self) -> dict[str, int]:
        counts = pd.read_csv(self.places["refused"])
        assert list(counts.columns) == ["reason", "count"]
        return dict(zip(counts["reason"], counts["count"], strict=True))

    @property
    def rejects(self) -> list[tuple[str, str]]:
        """File and reason of each refused row; each has a remedy."""
        table = pd.read_csv(self.places["rejects"], dtype=str, keep_default_na=False)
        assert list(table.columns) == ["file", "reason", "remedy"]
        assert all(remedy.endswith(".") for remedy in table["remedy"])
        return list(zip(table["file"], table["reason"], strict=True))


def cohort(
    layout: str, root: Path, labels: Mapping[str, str], columns: Mapping[str, str] | None = None
) -> config.Cohort:
    return config.Cohort.model_validate(
        {
            "id": "here",
            "layout": layout,
            "sensitivity": "public",
            "root": root,
            "labels": dict(labels),
            "columns": dict(columns or {}),
        }
    )


def run_ingest(chosen: config.Cohort, out: Path, *, key: bytes = KEY) -> Outputs:
    outputs = Outputs(out)
    assert chosen.root is not None
    read: dict[str, Any] = {"findings": list(chosen.labels), "root": chosen.root, "key": key}
    places: dict[str, Any] = dict(outputs.places)
    paths = places.pop("paths")
    ingest.run(chosen, **read, **places)
    locate.run(chosen, **read, manifest=places["manifest"], out=paths)
    return outputs


def uka_row(image: str, patient: str, **changes: str) -> dict[str, str]:
    row = {
        "image": image,
        "patient_id": patient,
        "study_id": f"study of {image}",
        "study_date": "2015-03-01",
        "age": "64",
        "sex": "F",
        "view": "AP",
        "bedside": "yes",
        "heart": "normal",
        "congestion": "negative",
    }
    return row | changes


def write_uka(root: Path, rows: Sequence[Mapping[str, str]], *, table: str = "uka_cxr.csv", absent: str = "") -> Path:
    """The table, and an empty file for each image except `absent`."""
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / table, index=False)
    for row in rows:
        if row["image"] not in ("", absent) and not row["image"].startswith(("/", "..")):
            place = root / row["image"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    return root


def ingest_uka(folder: Path, rows: Sequence[Mapping[str, str]], *, absent: str = "") -> Outputs:
    root = write_uka(folder / "uka", rows, absent=absent)
    return run_ingest(cohort("uka_cxr", root, UKA_LABELS), folder / "out")


def mimic_row(image: str, patient: str, study: str, **changes: str) -> dict[str, str]:
    row = {
        "dicom_id": image,
        "subject_id": patient,
        "study_id": study,
        "ViewPosition": "PA",
        "StudyDate": "21800506",
        "split": "train",
        "Cardiomegaly": "1.0",
        "Pleural Effusion": "",
    }
    return row | changes


def write_mimic(root: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """The three tables and the tree of MIMIC-CXR-JPG."""
    root.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    keys = ["subject_id", "study_id"]
    table[["dicom_id", *keys, "ViewPosition", "StudyDate"]].to_csv(root / mimic_cxr_jpg.METADATA, index=False)
    table[["dicom_id", *keys, "split"]].to_csv(root / mimic_cxr_jpg.SPLIT, index=False)
    labels = table[[*keys, *MIMIC_LABELS.values()]].drop_duplicates(keys)
    labels.to_csv(root / mimic_cxr_jpg.CHEXPERT, index=False)
    for row in rows:
        folder = root / "files" / f"p{row['subject_id'][:2]}" / f"p{row['subject_id']}" / f"s{row['study_id']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row['dicom_id']}.jpg").touch()
    return root


def pdac_row(scan: str, patient: str, **changes: str) -> dict[str, str]:
    row = {
        "scan": scan,
        "patient_id": patient,
        "study_id": f"study of {scan}",
        "study_date": "2015-03-01",
        "age": "64",
        "sex": "F",
        "scanner": "A",
        "phase": "portal venous",
        "split": "train",
        "pdac": "no",
    }
    return row | changes


def write_pdac(root: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """The table, and an empty file for each scan; one that ends in a slash, or in which others lie, is a folder."""
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / "pdac.csv", index=False)
    inside = [row["scan"] for row in rows if row["scan"] and not row["scan"].startswith(("/", ".."))]
    for scan in inside:
        parent = any(other.startswith(scan.rstrip("/") + "/") for other in inside if other != scan)
        place = root / scan / "1.dcm" if parent or scan.endswith("/") else root / scan
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return root


def write_series(folder: Path, *, patient: str) -> list[str]:
    """A drawn CT scan as a series of DICOM slices; the names of its files."""
    body = abdomen.draw_body(np.random.default_rng(1), sex="F", age=64)
    made, rng = abdomen.SCANNERS[1], np.random.default_rng(2)
    drawn = abdomen.draw(body, tumour=False, scanner=made, phase="portal", size=16, rng=rng)
    header = Header(patient, "1", "F", 64, date(2015, 3, 1), made, "portal", ("trees",))
    slices = {f"{patient}{name}": content for name, content in series(drawn, header=header, rng=rng)}
    for name, content in slices.items():
        (folder / name).write_bytes(content)
    return list(slices)


def ingest_pdac(folder: Path, rows: Sequence[Mapping[str, str]]) -> Outputs:
    root = write_pdac(folder / "pdac", rows)
    return run_ingest(cohort("pdac", root, PDAC_LABELS), folder / "out")


def panorama_row(study: str, **changes: str) -> dict[str, str]:
    row = {
        "PANORAMA_patient_id": study.split("_")[0],
        "PANORAMA_study_id": study,
        "anonymized_study_date": "2018-10-04 00:00:00",
        "patient_age": "042Y",
        "patient_sex": "F",
        "scanner": "TOSHIBA",
        "label": "non-PDAC",
        "level": "radiology",
    }
    return row | changes


def write_panorama(root: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """The table of PANORAMA, and an empty file for each study in `images`."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / "clinical_information.csv", index=False)
    for row in rows:
        (root / "images" / f"{row['PANORAMA_study_id'].split('/')[-1]}_0000.nii.gz").touch()
    return root


def write_masses(root: Path, *, controls: Sequence[str]) -> Path:
    """The decathlon's Task07 with one scan to train on and two to test, and the files of its controls, all empty."""
    cases = ("imagesTr/pancreas_001", "imagesTs/pancreas_002", "imagesTs/pancreas_004")
    for file in [*(f"Task07_Pancreas/{case}.nii.gz" for case in cases), *controls]:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    listed = {
        "name": "Pancreas",
        "training": [{"image": f"./{cases[0]}.nii.gz", "label": "./labelsTr/pancreas_001.nii.gz"}],
        "test": [f"./{case}.nii.gz" for case in cases[1:]],
    }
    (root / "Task07_Pancreas/dataset.json").write_text(json.dumps(listed))
    return root
