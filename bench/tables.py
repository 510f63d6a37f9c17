"""The cost of ingest, locate and split of a million images, against pandas reading the same tables.

    python -m bench.tables

Two cohorts of 10^6 rows, 4.3 images a patient: one table as UKA-CXR's with a folder of each patient, and the tables of
MIMIC-CXR-JPG with a folder of each study. Every image is an empty file but for one in a thousand that is missing, for
ingest looks whether it is there. The files lie in memory (/dev/shm) where there is such a place: what a disk or a
network adds for each of `folders` comes on top. Each measurement runs in a process of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from privrad import config
from privrad.cohorts import ingest, locate, mimic_cxr_jpg, split, uka_cxr

ROWS, A_PATIENT, MISSING = 1_000_000, 4.3, 1000
BOUND_SECONDS, BOUND_GIB = 60, 4
RULES = ("ingest", "locate", "split")
MEMORY = Path("/dev/shm")
FINDINGS = {
    "cardiomegaly": "Cardiomegaly",
    "congestion": "Consolidation",
    "pleural_effusion_right": "Pleural Effusion",
    "pleural_effusion_left": "Pleural Effusion",
    "pneumonic_infiltrate_right": "Pneumonia",
    "pneumonic_infiltrate_left": "Pneumonia",
    "atelectasis_right": "Atelectasis",
    "atelectasis_left": "Atelectasis",
}
GRADES = ("negative", "uncertain", "mild", "moderate", "severe")
LABELS = ("1.0", "0.0", "-1.0", "")
WORDS = ("FRONTAL CHEST", "CHEST (PA AND LAT)", "CHEST (PORTABLE AP)")


def pick(rng: np.random.Generator, words: Iterable[str], rows: int) -> pa.Array:
    """One of the words a row, as a hospital's table spells it out."""
    words = list(words)
    return pa.DictionaryArray.from_arrays(rng.integers(len(words), size=rows), words).cast(pa.string())


def text(pattern: str, *numbers: np.ndarray) -> pa.Array:
    """A text a row, by a pattern as of %."""
    return pa.array([pattern % each for each in zip(*(number.tolist() for number in numbers), strict=True)])


def save(path: Path, **columns: pa.Array) -> None:
    """Write a CSV table, gzipped where its name says so."""
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as stream:
        pyarrow.csv.write_csv(pa.table(columns), stream, write_options=options)


def uka(root: Path, rng: np.random.Generator, rows: int) -> pa.Array:
    """One table; the path of each image."""
    patient = np.sort(rng.integers(int(rows / A_PATIENT), size=rows))
    row = np.arange(rows)
    image = text("images/%07d/%08d.png", patient, row)
    save(
        root / uka_cxr.TABLE,
        image=image,
        patient_id=text("%07d", patient),
        study_id=text("S%08d", row // 2),
        study_date=text("20%02d-%02d-03", rng.integers(10, 20, rows), rng.integers(1, 13, rows)),
        age=text("%d", patient % 80 + 18),
        sex=text("%s", np.array(["F", "M"])[patient % 2]),
        view=pick(rng, ("AP", "PA"), rows),
        bedside=pick(rng, ("yes", "no"), rows),
        split=text("%s", np.array(["train", "train", "train", "test"])[patient % 4]),
        **{finding: pick(rng, GRADES, rows) for finding in FINDINGS},
    )
    return image


def mimic(root: Path, rng: np.random.Generator, rows: int) -> pa.Array:
    """Its four tables, with every column that they have; the path of each image."""
    patient = np.sort(rng.integers(int(rows / A_PATIENT), size=rows)) + 10_000_000
    study = 50_000_000 + np.arange(rows) // 2 + 7 * (patient - 10_000_000)  # two images a study, or the patient's last
    image = text("%08x-%08x-%08x-%08x", *rng.integers(2**32, size=(3, rows)), np.arange(rows))
    ids = {"subject_id": text("%d", patient), "study_id": text("%d", study)}
    save(
        root / mimic_cxr_jpg.METADATA,
        dicom_id=image,
        **ids,
        PerformedProcedureStepDescription=pick(rng, WORDS, rows),
        ViewPosition=pick(rng, ("AP", "AP", "PA", "LATERAL", "LL"), rows),
        Rows=pick(rng, ("2544", "3056"), rows),
        Columns=pick(rng, ("2544", "3056"), rows),
        StudyDate=text("%d0506", 2180 + patient % 9),
        StudyTime=text("%d.%03d", rng.integers(240_000, size=rows), rng.integers(1000, size=rows)),
        ProcedureCodeSequence_CodeMeaning=pick(rng, WORDS, rows),
        ViewCodeSequence_CodeMeaning=pick(rng, ("postero-anterior", "antero-posterior", "lateral"), rows),
        PatientOrientationCodeSequence_CodeMeaning=pick(rng, ("Erect", "Recumbent", ""), rows),
    )
    save(root / mimic_cxr_jpg.SPLIT, dicom_id=image, **ids, split=text("%s", np.array(["train", "test"])[patient % 2]))
    _, first = np.unique(study, return_index=True)
    told = [*dict.fromkeys(FINDINGS.values()), *(f"Other {number}" for number in range(9))]
    labels = {finding: pick(rng, LABELS, len(first)) for finding in told}
    save(root / mimic_cxr_jpg.CHEXPERT, **{key: values.take(first) for key, values in ids.items()}, **labels)
    people = np.unique(patient)
    save(
        root / mimic_cxr_jpg.PATIENTS,
        subject_id=text("%d", people),
        gender=pick(rng, ("F", "M"), len(people)),
        anchor_age=text("%d", people % 70 + 20),
        anchor_year=text("%d", 2180 + 0 * people),
    )
    return text("files/p%s/p%d/s%d/%s.jpg", patient // 1_000_000, patient, study, np.array(image))


LAYOUTS: dict[str, Callable[[Path, np.random.Generator, int], pa.Array]] = {"uka_cxr": uka, "mimic_cxr_jpg": mimic}


def make(layout: str, root: Path, *, rows: int) -> None:
    """The tables of a cohort, and an empty file for each image but for one in a thousand."""
    paths = LAYOUTS[layout](root, np.random.default_rng(3), rows).to_pylist()
    for at, path in enumerate(paths):
        if at % MISSING:
            place = f"{root}/{path}"
            try:
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
            except FileNotFoundError:
                os.makedirs(os.path.dirname(place))
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY))


def cohort(layout: str, root: Path) -> config.Cohort:
    """The cohort as a study names it."""
    labels = FINDINGS if layout == "mimic_cxr_jpg" else {finding: finding for finding in FINDINGS}
    told = {"id": layout, "layout": layout, "sensitivity": "public", "root": root, "labels": labels}
    return config.Cohort.model_validate(told)


def ours(layout: str, root: Path, out: Path) -> dict[str, float]:
    """Seconds of ingest, locate and split, as their rules call them."""
    chosen, made = cohort(layout, root), out / layout
    given: dict[str, Any] = {"findings": list(FINDINGS), "key": bytes(32), "manifest": made / "manifest.parquet"}
    drawn = config.Split(by="hash", validation=0.1, test=0.2)
    cuts = [time.perf_counter()]
    ingest.run(chosen, root=root, refused=made / "refused.csv", rejects=made / "rejects.csv", **given)
    cuts.append(time.perf_counter())
    locate.run(chosen, root=root, out=made / "paths.parquet", **given)
    cuts.append(time.perf_counter())
    split.run(drawn, assignment=made / "assignment.parquet", balance=made / "balance.csv", **given)
    cuts.append(time.perf_counter())
    return {f"{rule}_seconds": end - start for rule, (start, end) in zip(RULES, pairwise(cuts), strict=True)}


def yardstick(layout: str, root: Path, out: Path) -> dict[str, float]:
    """Seconds of pandas reading the same tables, as text."""
    start = time.perf_counter()
    held = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in sorted(root.glob("*.csv*"))]
    return {"seconds": time.perf_counter() - start, "tables": len(held)}


def alone(work: str, layout: str, root: Path, out: Path) -> dict[str, float]:
    """What a process of its own measures, with its peak memory in GiB."""
    command = [sys.executable, "-m", "bench.tables", work, layout, str(root), str(out)]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def row(layout: str, folder: Path, *, rows: int) -> dict[str, Any]:
    """One layout, made and measured."""
    root, out = folder / layout, folder / "out"
    root.mkdir()
    make(layout, root, rows=rows)
    read, found = alone("yardstick", layout, root, out), alone("ours", layout, root, out)
    taken = sum(found[f"{rule}_seconds"] for rule in RULES)
    return {
        "claim": f"ingest, locate and split take {rows:,} rows in at most {BOUND_SECONDS} seconds and {BOUND_GIB} GiB",
        "size": [rows, len(FINDINGS)],
        "layout": layout,
        "seconds": round(taken, 1),
        "bound": BOUND_SECONDS,
        **{f"{rule}_seconds": round(found[f"{rule}_seconds"], 1) for rule in RULES},
        "yardstick_seconds": round(read["seconds"], 1),
        "ratio": round(taken / read["seconds"], 2),
        "cpu_seconds": round(found["cpu_seconds"], 1),
        "peak_gib": round(found["peak_gib"], 2),
        "bound_gib": BOUND_GIB,
        "yardstick_peak_gib": round(read["peak_gib"], 2),
        "images_taken": len(pd.read_parquet(out / layout / "manifest.parquet", columns=["image_id"])),
        "folders": len(set(pd.read_parquet(out / layout / "paths.parquet")["path"].str.rpartition("/")[0])),
    }


def main(arguments: list[str]) -> None:
    """Print one JSON line a layout."""
    if arguments:
        work = {"ours": ours, "yardstick": yardstick}[arguments[0]]
        measured = work(arguments[1], Path(arguments[2]), Path(arguments[3]))
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        peak = int(status["VmHWM"].split()[0]) / 2**20
        print(json.dumps(measured | {"cpu_seconds": time.process_time(), "peak_gib": peak}))
        return
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            print(json.dumps(row(layout, Path(folder), rows=ROWS)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
