"""From the tables of each layout of CT, with scans beside them, to shards: every scan in, none refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privrad import config
from privrad.cohorts import phantom
from privrad.imaging import prepare
from privrad.imaging.shards import open_shards
from tests.cohorts.trees import PANORAMA_LABELS, PDAC_LABELS, cohort, panorama_row, run_ingest

SHARDS = 2


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "cohort"
    settings = {"patients": 12, "size": 64, "style": "private", "images_per_patient": (1, 1)}
    phantom.run(config.Phantom.model_validate(settings), layout="pdac", seed=5, out=out)
    return out


def volumes(drawn: Path) -> Sequence[Path]:
    return sorted((drawn / "scans").glob("*.nii.gz"))


def series(drawn: Path) -> Sequence[Path]:
    return sorted(path for path in (drawn / "scans").iterdir() if path.is_dir())


def prepared(cohort: config.Cohort, folder: Path) -> pd.Series:
    """The mean of each prepared scan, by the path that its table names; none may be refused at either step."""
    out = run_ingest(cohort, folder / "out")
    assert set(out.refused) <= {"left_out"}
    image = config.Image(size=(24, 24, 12), window=(-150, 250), shards=SHARDS)
    shards = [folder / f"shard-{number}" for number in range(SHARDS)]
    for number, shard in enumerate(shards):
        places: dict[str, Any] = {
            "manifest": out.places["manifest"],
            "paths": out.places["paths"],
            "rejects": folder / "rejects.csv",
        }
        assert cohort.root is not None
        prepare.run(root=cohort.root, shard=number, image=image, modality="ct", out=shard, **places)
    images = open_shards(shards)
    assert images.refused == {}
    path = pd.read_parquet(out.places["paths"]).set_index("image_id")["path"]
    assert sorted(images.image_ids) == sorted(path.index)
    means = images.take(np.arange(len(images))).mean(axis=(1, 2, 3))
    return pd.Series(means, index=path[list(images.image_ids)])


def test_one_table_names_volumes_folders_and_single_slices(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "pdac"
    shutil.copytree(drawn, root)
    folders = prepared(cohort("pdac", root, PDAC_LABELS), tmp_path / "folders")
    table = pd.read_csv(root / "pdac.csv", dtype=str)
    of_a_folder = ~table["scan"].str.endswith(".nii.gz")
    several = root / "scans/several"
    several.mkdir()
    for number, scan in enumerate(table.loc[of_a_folder, "scan"]):
        files = sorted((root / scan).iterdir(), key=lambda file: file.stat().st_size)
        for file in files:
            shutil.move(file, several / f"{number}-{file.name}")
        table.loc[table["scan"] == scan, "scan"] = f"scans/several/{number}-{files[-1].name}"
    table.to_csv(root / "pdac.csv", index=False)
    assert of_a_folder.sum() > 2
    slices = prepared(cohort("pdac", root, PDAC_LABELS), tmp_path / "slices")
    assert sorted(slices) == sorted(folders)


def test_panorama_in_all_its_folders(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "panorama"
    homes = ("images", "batch_1", "batch_2/images", ".")
    rows = [
        panorama_row(f"10000{number}_00001", PANORAMA_patient_id=f"10000{number}")
        for number in range(len(volumes(drawn)))
    ]
    for number, (row, scan) in enumerate(zip(rows, volumes(drawn), strict=True)):
        home = root / homes[number % len(homes)]
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, home / f"{row['PANORAMA_study_id']}_0000.nii.gz")
        (home / f"._{row['PANORAMA_study_id']}_0000.nii.gz").touch()
    pd.DataFrame(rows).to_csv(root / "clinical_information.csv", index=False)
    means = prepared(cohort("panorama", root, PANORAMA_LABELS), tmp_path)
    assert len(means) == len(rows)
    assert means.is_unique


def test_masses_are_volumes_and_controls_series_in_the_folders_of_a_download(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "both"
    images = root / "Task07_Pancreas/imagesTr"
    images.mkdir(parents=True)
    names = [f"pancreas_{number:03d}.nii.gz" for number, _ in enumerate(volumes(drawn))]
    for name, scan in zip(names, volumes(drawn), strict=True):
        shutil.copy(scan, images / name)
    listed = {"training": [{"image": f"./imagesTr/{name}"} for name in names], "test": []}
    (root / "Task07_Pancreas/dataset.json").write_text(json.dumps(listed))
    for number, scan in enumerate(series(drawn), start=1):
        study = root / f"manifest-1/Pancreas-CT/PANCREAS_{number:04d}/11-24-2015-PANCREAS{number}"
        shutil.copytree(scan, study / "Pancreas-18957")
    means = prepared(cohort("msd_pancreas", root, {"tumour": "mass"}), tmp_path)
    assert len(means) == len(names) + len(series(drawn))
    assert means.is_unique
