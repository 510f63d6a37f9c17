"""A small cohort in the files that training reads: bright blobs on the side that the label names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privrad import config
from privrad.imaging.shards import shard_of, write_shard

FINDINGS = ("cardiomegaly", "effusion_right", "effusion_left")


@dataclass(frozen=True)
class Cohort:
    shards: list[Path]
    manifest: Path
    assignment: Path
    findings: tuple[str, ...] = FINDINGS

    @property
    def inputs(self) -> dict[str, object]:
        return {
            "shards": self.shards,
            "manifest": self.manifest,
            "assignment": self.assignment,
            "findings": self.findings,
        }


def keyed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:32]


def draw(folder: Path, *, patients: int, seed: int, size: int = 32) -> Cohort:
    generator = np.random.default_rng(seed)
    rows, pixels = [], {}
    for patient in range(patients):
        patient_id = keyed(f"{seed}-{patient}")
        for image in range(1 + patient % 3):
            image_id = keyed(f"{seed}-{patient}-{image}")
            labels = generator.random(len(FINDINGS)) < 0.4
            picture = generator.normal(90, 15, (size, size))
            for label, place in zip(labels, (slice(12, 20), slice(2, 9), slice(23, 30)), strict=True):
                picture[18:28, place] += 90 * label
            pixels[image_id] = picture.clip(0, 255).astype(np.uint8)
            rows.append(
                {
                    "image_id": image_id,
                    "patient_id": patient_id,
                    **dict(zip(FINDINGS, labels.astype(np.int8), strict=True)),
                }
            )
    table = pd.DataFrame(rows).sort_values("image_id").reset_index(drop=True)
    table["sex"] = np.where(np.arange(len(table)) % 2, "F", "M")
    table["age"] = np.where(np.arange(len(table)) % 5 == 0, np.nan, 50.0)
    table["bedside"] = pd.array([None, True, False] * len(table), dtype="boolean")[: len(table)]
    folder.mkdir(parents=True)
    table.to_parquet(folder / "manifest.parquet", index=False)
    ids = sorted(table["patient_id"].unique())
    splits = np.array(["train", "train", "train", "validation", "test"])[np.arange(len(ids)) % 5]
    pd.DataFrame({"patient_id": ids, "split": splits}).to_parquet(folder / "assignment.parquet", index=False)
    paths = []
    for shard in range(2):
        own = table.loc[[shard_of(value, shards=2) == shard for value in table["patient_id"]], "image_id"].tolist()
        paths.append(folder / f"shard-{shard:03d}.safetensors")
        write_shard(paths[-1], pixels=np.stack([pixels[value] for value in own]), image_ids=own, refused={})
    return Cohort(paths, folder / "manifest.parquet", folder / "assignment.parquet")


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return draw(tmp_path_factory.mktemp("cohorts") / "public", patients=60, seed=1)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return draw(tmp_path_factory.mktemp("cohorts") / "private", patients=60, seed=2)


@pytest.fixture
def model() -> config.Model:
    return config.Model(network="resnet9", width=4, groups=2)
