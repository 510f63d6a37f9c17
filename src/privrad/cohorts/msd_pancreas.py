"""Pancreatic masses of the Medical Segmentation Decathlon (Task07) as cases, NIH Pancreas-CT as controls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from privrad import config
from privrad.cohorts import rows, tables

CASES = "Task07_Pancreas"
LIST = f"{CASES}/dataset.json"
CONTROLS = "Pancreas-CT"
LABEL = "mass"
WITHDRAWN = ("PANCREAS_0025", "PANCREAS_0070")


def read(cohort: config.Cohort, *, findings: Sequence[str], root: Path) -> pd.DataFrame:
    """Source rows of two published collections that lie side by side, one a scan and, in each, one a patient.

    `cohort.labels` gives "mass" for each of ours. Every scan that `Task07_Pancreas/dataset.json` lists, to train on or
    to test, has it: all are of patients whose pancreatic mass was resected (adenocarcinoma, a cystic or a
    neuroendocrine tumour; Simpson et al. 2019). The scans of `Pancreas-CT` do not have it (Roth et al. 2015); two of
    them, since withdrawn, are left out. Ages and sexes are not published.
    """
    tables.mapped(cohort, defaults={}, required=())
    for finding in findings:
        if cohort.labels[finding] != LABEL:
            raise tables.CohortError(
                f"cohort {cohort.id}: labels.{finding} = {cohort.labels[finding]!r} is no label of this cohort; "
                f"it has {LABEL} alone, which does not tell one kind of tumour from another"
            )
    cases, controls = _cases(root), _controls(root)
    scans = pd.DataFrame([*cases, *controls], columns=["file", "patient"], dtype="str")
    scans = scans.assign(file=rows.tidy_path(scans["file"]))
    found = rows.assemble({"image": scans["file"], "patient": scans["patient"], "file": scans["file"]}, table=LIST)
    found = rows.refuse(found, scans["patient"].isin(WITHDRAWN), "left_out")
    case = (pd.Series(range(len(scans))) < len(cases)).astype("int8")
    return found.assign(**dict.fromkeys(findings, case))


def _cases(root: Path) -> list[tuple[str, str]]:
    """Path and patient of each scan that the decathlon lists, whether it lies there or not."""
    try:
        listed = json.loads((root / LIST).read_text(encoding="utf-8"))
        images = [entry["image"] for entry in listed["training"]] + listed.get("test", [])
        names = [image.rpartition("/")[2] for image in images]
    except FileNotFoundError:
        raise tables.CohortError(f"{LIST} is missing in {root}; unpack Task07_Pancreas.tar there, whole") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise tables.CohortError(
            f'{LIST} is not as the decathlon gives it, a list "training" of entries with an "image" and a list "test" '
            "of paths; unpack it again from Task07_Pancreas.tar"
        ) from None
    if not images:
        raise tables.CohortError(f"{LIST} lists no scan; unpack it again from Task07_Pancreas.tar")
    return [(f"{CASES}/{image}", name.partition(".")[0]) for image, name in zip(images, names, strict=True)]


def _controls(root: Path) -> list[tuple[str, str]]:
    """Path and patient of each control: series of DICOM slices, or, where there are none, NIfTI files in `data`."""
    homes = [root / CONTROLS, *sorted(root.glob(f"manifest-*/{CONTROLS}"))]
    patients = [folder for home in homes for folder in _shown(home, "PANCREAS_*") if folder.is_dir()]
    scans: list[tuple[Path, str]] = []
    for patient in patients:
        series = [folder for folder in _shown(patient, "*/*") if folder.is_dir()]
        scans += [(folder, patient.name) for folder in series or [patient]]
    if not scans:
        volumes = [file for home in homes for end in ("nii", "nii.gz") for file in _shown(home / "data", f"*.{end}")]
        scans = [(file, _patient_of(file)) for file in volumes]
    if not scans:
        raise tables.CohortError(
            f"{root} has no control: put NIH Pancreas-CT there, as {CONTROLS}/PANCREAS_0001/<study>/<series>/ with "
            f"DICOM slices or as {CONTROLS}/data/PANCREAS_0001.nii.gz; with cases alone there is nothing to tell apart"
        )
    return [(scan.relative_to(root).as_posix(), patient) for scan, patient in scans]


def _shown(folder: Path, pattern: str) -> list[Path]:
    """What matches in the folder, in order, without hidden files and folders ("._name" of a Mac)."""
    found = sorted(folder.glob(pattern))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _patient_of(file: Path) -> str:
    """The patient that a NIfTI file is named after: its last four digits, whatever stands around them."""
    stem = file.name.partition(".")[0]
    digits = "".join(character for character in stem if character.isdigit())[-4:]
    return f"PANCREAS_{digits}" if len(digits) == 4 else stem
