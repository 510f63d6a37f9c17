"""A results folder of one experiment on CT scans, alone or beside one on radiographs, with made-up numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

from privrad import config
from privrad.imaging import ct, shards
from privrad.imaging.read import read_scan
from tests.imaging import made_ct
from tests.report import tree

SIZE, WINDOW = (40, 36, 24), (-150.0, 250.0)
SCANS, PATIENTS = 6, 200
SERIES = "scan-1"
"""The one scan that is a DICOM series in a folder; the others are NIfTI files."""
SPACING = (4.0, 5.0, 6.0)
STUDY = """\
  pancreas:
    modality: ct
    findings: [pdac]
    cohorts:
      private: {{id: abdomen, layout: pdac, sensitivity: {sensitivity}, {source}, labels: {{pdac: tumour}}}}
    image: {{size: [40, 36, 24], window: [-150, 250], shards: 1}}
    model: {{network: scale_resnet9, width: 8, groups: 4}}
    pretraining: none
    budgets: [{budgets}]
    seeds: [{seeds}]
    allow_unprotected: true
    privacy: {{population: 900, expected_batch: 512, steps: 60, delta: 1e-3, clipping_norm: 1.0, noise: {noise}}}
    training: {{positive_weights: none, without_privacy: {{augmentation: none}}}}
    evaluation: {{redraws: 200}}
"""


def build(
    folder: Path, *, private: bool = False, chest: bool = False, seeds: str = "0", budgets: str = "0.29, inf"
) -> tree.Tree:
    """Write the tree below `folder`; with `chest` the experiment on radiographs stands before that on CT scans."""
    source = f"root: {folder / 'abdomen'}, budget: {{epsilon: 20, delta: 1e-3}}"
    text = STUDY.format(
        sensitivity="private" if private else "synthetic",
        source=source if private else "phantom: {style: private, patients: 60}",
        noise="release" if private else "reproducible",
        budgets=budgets,
        seeds=seeds,
    )
    folder.mkdir(exist_ok=True)
    study_file = folder / "study.yaml"
    roots = dict(tree.build(folder, budgets="0.29, inf").roots) if chest else {}
    before = study_file.read_text(encoding="utf-8") if chest else "study: demo\nseed: 1\nexperiments:\n"
    study_file.write_text(before + text, encoding="utf-8")
    study, base = config.load(study_file), folder / "results" / "pancreas"
    _cohort(base, folder / "private" / "pancreas", folder / "abdomen")
    tree.trained(base, study.experiments["pancreas"])
    tree.evaluated(base, study.experiments["pancreas"], groups=tree.FEW)
    roots |= {("pancreas", "private"): folder / "abdomen"}
    return tree.Tree(study, study_file, folder / "results", folder / "private", roots)


def _cohort(base: Path, private: Path, root: Path) -> None:
    rng = np.random.default_rng(7)
    ids = sorted(f"{int(number):032x}" for number in rng.integers(2**62, size=SCANS))
    manifest = pd.DataFrame({"image_id": ids, "patient_id": ids[::-1], "view": "", "age": 66.0, "sex": "M"})
    manifest["pdac"] = [row % 2 for row in range(SCANS)]
    names = [SERIES if f"scan-{row}" == SERIES else f"scan-{row}.nii.gz" for row in range(SCANS)]
    paths = pd.DataFrame({"image_id": ids, "path": names})
    root.mkdir()
    for name in names:
        (series if name == SERIES else written)(root / name, rng)
    for table, folder, file in ((manifest, base / "duplicates", "manifest"), (paths, private / "locate", "paths")):
        (folder / "private").mkdir(parents=True)
        table.to_parquet(folder / "private" / f"{file}.parquet")
    volumes = [ct.prepare(read_scan(root / name), size=SIZE, window=WINDOW) for name in names]
    shard = base / "prepare" / "private" / "shard-000.safetensors"
    shards.write_shard(shard, pixels=np.stack(volumes), image_ids=ids, refused={"missing_slices": 2})
    tree.counted(base, role="private", patients=PATIENTS, findings=["pdac"])


def written(path: Path, rng: np.random.Generator) -> None:
    """A scan of an abdomen in a NIfTI file, stored the other way round than it is prepared, in voxels of SPACING."""
    stored = abdomen(rng).transpose(2, 1, 0)[::-1, ::-1]
    affine = np.diag([*SPACING, 1.0])  # columns to the right, rows to the front, planes to the head; NIfTI's axes
    affine[:2, 3] = -np.multiply(stored.shape[:2], SPACING[:2]) / 2
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(stored), affine), path)


def series(folder: Path, rng: np.random.Generator) -> None:
    """Such a scan as a DICOM series, its files and numbers in no order, stored the same way round."""
    drawn = abdomen(rng)[:, ::-1, ::-1]
    corner = np.multiply(drawn.shape[:0:-1], SPACING[:2]) / 2  # DICOM's axes lead to the left and to the back
    places = [(*corner, SPACING[2] * plane) for plane in range(len(drawn))]
    turned: dict[str, Any] = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0], "PixelSpacing": [*SPACING[1::-1]]}
    made_ct.write_series(folder, drawn, places=np.array(places), **turned)


def abdomen(rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units [48 slices, 56 rows, 88 columns] towards head, back and left: a liver on the right, a spine."""
    slices, rows, columns = np.meshgrid(*(np.linspace(-1, 1, side) for side in (48, 56, 88)), indexing="ij")
    body = (rows / 0.85) ** 2 + (columns / 0.9) ** 2 < 1
    drawn = np.where(body, -90.0, -1000.0)
    drawn[(rows / 0.72) ** 2 + (columns / 0.8) ** 2 < 1] = 40
    drawn[((rows + 0.1) / 0.5) ** 2 + ((columns + 0.4) / 0.35) ** 2 + ((slices - 0.4) / 0.5) ** 2 < 1] = 110
    drawn[((rows - 0.5) / 0.16) ** 2 + (columns / 0.11) ** 2 < 1] = 400
    drawn[body] += rng.normal(0, 12, drawn.shape)[body]
    return np.round(drawn).astype(np.int16)
