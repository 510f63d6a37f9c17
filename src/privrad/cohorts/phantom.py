"""Computer-drawn cohorts, written in the layouts of real ones, so that a real study differs by its paths only."""

from __future__ import annotations

import gzip
import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from privrad import config, progress
from privrad.cohorts import chest, patients, phantom_ct, phantom_dicom
from privrad.cohorts.drawing.canvas import Picture
from privrad.cohorts.patients import FINDINGS, Patient, Radiograph

log = logging.getLogger("privrad")

CHEXPERT = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
_SOURCES = {  # the findings that make a CheXpert label; Consolidation stands for congestion, as the study maps it
    "Atelectasis": ("atelectasis_right", "atelectasis_left"),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("congestion",),
    "Edema": ("congestion",),
    "Lung Opacity": (
        "pneumonic_infiltrate_right",
        "pneumonic_infiltrate_left",
        "atelectasis_right",
        "atelectasis_left",
    ),
    "Pleural Effusion": ("pleural_effusion_right", "pleural_effusion_left"),
    "Pneumonia": ("pneumonic_infiltrate_right", "pneumonic_infiltrate_left"),
}
_NUMBERS = 9_999_991  # a prime: ids of seven digits that scatter and never repeat
_LATERALS = 0.17  # of the upright examinations: about a tenth of the rows
_VIEWS = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral"}


def run(phantom: config.Phantom, *, layout: str, seed: int, out: Path) -> None:
    """Draw a cohort into the folder `out`, which is replaced as a whole once all is written.

    `layout` is "mimic_cxr_jpg" (JPEG files and MIMIC's tables), "uka_cxr" (DICOM files and uka_cxr.csv) or "pdac" (CT
    scans as NIfTI files and folders of DICOM slices, and pdac.csv). All have truth.parquet: per image path, 0 or 1 by
    finding before any reader's error, and the difficulty it was drawn with.
    Equal arguments give equal bytes, and more patients leave the pictures of the first ones as they were.
    Raises ValueError for a layout, prevalence or difficulty that is not drawn.
    """
    drawable = sorted([*_WRITERS, phantom_ct.LAYOUT])
    if layout not in drawable:
        raise ValueError(f"layout {layout!r} is not one that can be drawn; choose one of {', '.join(drawable)}")
    if layout == phantom_ct.LAYOUT:
        phantom_ct.check(phantom)
        with _whole_folder(out) as folder:
            phantom_ct.write(phantom, seed=seed, folder=folder)
        return
    patients.check(phantom)
    with _whole_folder(out) as folder:
        cohort = _Cohort(folder=folder, phantom=phantom, seed=seed)
        drawn = progress.track(patients.each(phantom, seed=seed), what="patients drawn", total=phantom.patients)
        for patient, rng in drawn:
            body = chest.draw_body(rng, sex=patient.sex, age=patient.age)
            _WRITERS[layout](cohort, patient, body, rng)
        cohort.write_tables()


@dataclass(frozen=True)
class _Cohort:
    """Where a cohort is written, and the rows of its tables so far, by file name."""

    folder: Path
    phantom: config.Phantom
    seed: int
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def add_truth(self, image: str, radiograph: Radiograph) -> None:
        positive = {name: int(is_positive) for name, is_positive in patients.positives(radiograph.grades).items()}
        self.add("truth.parquet", image=image, **positive, difficulty=radiograph.difficulty)

    def write_file(self, path: str, content: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def write_tables(self) -> None:
        for name, rows in self.rows.items():
            self.write_file(name, _table(name, pd.DataFrame(rows)))


def _table(name: str, rows: pd.DataFrame) -> bytes:
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        rows.astype(dict.fromkeys(FINDINGS, "int8")).to_parquet(buffer, index=False)
        return buffer.getvalue()
    text = rows.to_csv(index=False, lineterminator="\n").encode()
    return gzip.compress(text, mtime=0) if name.endswith(".gz") else text


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out`; on success it takes the place of `out`, else it is removed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _picture(
    cohort: _Cohort, radiograph: Radiograph, body: chest.Body, devices: chest.Devices, rng: np.random.Generator
) -> Picture:
    return chest.frontal(
        body,
        dict(zip(FINDINGS, radiograph.grades, strict=True)),
        style=cohort.phantom.style,
        bedside=radiograph.bedside,
        devices=devices,
        difficulty=radiograph.difficulty,
        size=cohort.phantom.size,
        rng=rng,
    )


def _write_uka(cohort: _Cohort, patient: Patient, body: chest.Body, rng: np.random.Generator) -> None:
    """One patient as DICOM files and rows of uka_cxr.csv."""
    name = f"P{patient.number:07d}"
    shot = 0
    for before, radiograph in zip((None, *patient.radiographs), patient.radiographs, strict=False):
        shot = shot + 1 if before is not None and before.study == radiograph.study else 1
        study = f"S{patient.number:07d}{radiograph.study:02d}"
        path = f"images/{name}/{study}_{shot}.dcm"
        devices = chest.draw_devices(rng, body=body, bedside=radiograph.bedside)
        picture = _picture(cohort, radiograph, body, devices, rng)
        header = phantom_dicom.Header(
            patient=name,
            study=study,
            instance=shot,
            sex=patient.sex,
            age=radiograph.age,
            day=radiograph.day,
            view=radiograph.view,
            entropy=(str(cohort.seed), cohort.phantom.style),
        )
        cohort.write_file(
            path, phantom_dicom.encode(picture, header=header, storage=phantom_dicom.draw_storage(rng), rng=rng)
        )
        cohort.add(
            "uka_cxr.csv",
            image=path,
            patient_id=name,
            study_id=study,
            study_date=radiograph.day.isoformat(),
            age=radiograph.age,
            sex=patient.sex,
            view=radiograph.view,
            bedside="yes" if radiograph.bedside else "no",
            **{
                finding: patients.grade_name(finding, grade)
                for finding, grade in zip(FINDINGS, radiograph.written, strict=True)
            },
        )
        cohort.add_truth(path, radiograph)


def _write_mimic(cohort: _Cohort, patient: Patient, body: chest.Body, rng: np.random.Generator) -> None:
    """One patient as JPEG files and rows of MIMIC's tables."""
    subject = 10_000_000 + (patient.number * 7919 + 32) % _NUMBERS
    first = patient.radiographs[0].day
    later = 4 * int(rng.integers(30, 44))  # years by which dates are moved, as MIMIC does
    group = first.year - (first.year - 2008) % 3
    cohort.add(
        "patients.csv.gz",
        subject_id=subject,
        gender=patient.sex,
        anchor_age=patient.age if patient.age <= 89 else 91,
        anchor_year=first.year + later,
        anchor_year_group=f"{group} - {group + 2}",
        dod="",
    )
    split = rng.choice(["train", "validate", "test"], p=[0.85, 0.10, 0.05])
    study_before = -1
    for radiograph in patient.radiographs:
        study = 50_000_000 + ((patient.number * 8 + radiograph.study) * 7919 + 414) % _NUMBERS
        devices = chest.draw_devices(rng, body=body, bedside=radiograph.bedside)
        shots = [(radiograph.view, _picture(cohort, radiograph, body, devices, rng))]
        if radiograph.view == "PA" and rng.random() < _LATERALS:
            grades = dict(zip(FINDINGS, radiograph.grades, strict=True))
            shots.append(
                (
                    "LATERAL",
                    chest.lateral_view(body, grades, style=cohort.phantom.style, size=cohort.phantom.size, rng=rng),
                )
            )
        for view, picture in shots:
            dicom = "-".join(f"{part:08x}" for part in rng.integers(2**32, size=5))
            path = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
            cohort.write_file(path, _jpeg(picture))
            cohort.add_truth(path, radiograph)
            _add_metadata(cohort, radiograph, dicom, subject, study, view, picture, later)
            cohort.add("mimic-cxr-2.0.0-split.csv.gz", dicom_id=dicom, study_id=study, subject_id=subject, split=split)
        labels = _chexpert(radiograph, devices, rng)
        if study != study_before:
            cohort.add("mimic-cxr-2.0.0-chexpert.csv.gz", subject_id=subject, study_id=study, **labels)
        study_before = study


def _add_metadata(
    cohort: _Cohort,
    radiograph: Radiograph,
    dicom: str,
    subject: int,
    study: int,
    view: str,
    picture: Picture,
    later: int,
) -> None:
    cohort.add(
        "mimic-cxr-2.0.0-metadata.csv.gz",
        dicom_id=dicom,
        subject_id=subject,
        study_id=study,
        PerformedProcedureStepDescription="CHEST (PORTABLE AP)" if radiograph.bedside else "CHEST (PA AND LAT)",
        ViewPosition=view,
        Rows=picture.shape[0],
        Columns=picture.shape[1],
        StudyDate=radiograph.day.replace(year=radiograph.day.year + later).strftime("%Y%m%d"),
        StudyTime=f"{8 + study % 11}{study % 60:02d}{study * 7 % 60:02d}.0",
        ProcedureCodeSequence_CodeMeaning="CHEST (PORTABLE AP)" if radiograph.bedside else "CHEST (PA AND LAT)",
        ViewCodeSequence_CodeMeaning=_VIEWS[view],
        PatientOrientationCodeSequence_CodeMeaning="Recumbent" if radiograph.bedside else "Erect",
    )


def _chexpert(radiograph: Radiograph, devices: chest.Devices, rng: np.random.Generator) -> dict[str, str]:
    """CheXpert's labels of what the reader wrote: 1.0, 0.0, -1.0 or blank, negatives mostly blank."""
    written = dict(zip(FINDINGS, radiograph.written, strict=True))
    labels = dict.fromkeys(CHEXPERT, "")
    for (label, sources), chance in zip(_SOURCES.items(), rng.random(len(_SOURCES)), strict=True):
        grade = max(written[name] for name in sources)
        if grade >= patients.FIRST_POSITIVE:
            labels[label] = "1.0"
        elif chance < (0.7 if grade else 0.01):
            labels[label] = "-1.0"
        elif chance > 0.85:
            labels[label] = "0.0"
    if not any(patients.positives(radiograph.written).values()):
        labels["No Finding"] = "1.0"
    if devices.support:
        labels["Support Devices"] = "1.0"
    return labels


def _jpeg(picture: Picture) -> bytes:
    pixels = np.rint(picture * np.float32(255)).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


_WRITERS: dict[str, Callable[[_Cohort, Patient, chest.Body, np.random.Generator], None]] = {
    "mimic_cxr_jpg": _write_mimic,
    "uka_cxr": _write_uka,
}
