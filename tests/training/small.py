"""A small cohort of bright blobs on the side that the label names, a study on it, and the steps of a fine-tuning."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privrad import config
from privrad.imaging.shards import shard_of, write_shard
from privrad.privacy.ledger import Ledger
from privrad.training import checkpoint, finetune, reserve
from privrad.training.binding import Inputs, Job
from privrad.training.run import Run

FINDINGS = ("cardiomegaly", "effusion_right", "effusion_left")


@dataclass(frozen=True)
class Cohort:
    shards: list[Path]
    manifest: Path
    assignment: Path
    findings: tuple[str, ...] = FINDINGS

    @classmethod
    def at(cls, folder: Path) -> Cohort:
        """The cohort that was drawn into a folder."""
        shards = sorted(folder.glob("shard-*.safetensors"))
        return cls(shards, folder / "manifest.parquet", folder / "assignment.parquet")

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
    for shard in range(2):
        own = table.loc[[shard_of(value, shards=2) == shard for value in table["patient_id"]], "image_id"].tolist()
        path = folder / f"shard-{shard:03d}.safetensors"
        write_shard(path, pixels=np.stack([pixels[value] for value in own]), image_ids=own, refused={})
    return Cohort.at(folder)


PERFORMANCE = {"device": "cpu", "threads": 1, "physical_batch": 16, "checkpoint_minutes": 0}
PRIVACY = {"population": 36, "expected_batch": 12, "steps": 8, "delta": 1e-3, "views": 2, "noise": "reproducible"}
TRAINING = {"without_privacy": {"learning_rate": 2e-3, "batch": 16, "epochs": 2, "augmentation": None}}
ARMS = {"none": "eps-0", "private": "eps-2", "matched": "eps-inf-matched", "without_privacy": "eps-inf"}
KEY = bytes(range(32))


def study(folder: Path, **changes: Any) -> config.Study:
    """A study whose ledger lies in `folder`; `changes` are blocks or keys of its one experiment, or of the study."""

    def cohort(role: str) -> dict[str, Any]:
        drawn = {"patients": 1, "style": role}
        return {"id": role, "layout": "uka_cxr", "sensitivity": "synthetic", "phantom": drawn, "labels": labels}

    labels = dict(zip(FINDINGS, FINDINGS, strict=True))
    experiment: dict[str, Any] = {
        "findings": FINDINGS,
        "cohorts": {"public": cohort("public"), "private": cohort("private") | changes.pop("cohort", {})},
        "model": {"network": "resnet9", "width": 4, "groups": 2},
        "pretraining": {"epochs": 4, "batch": 16, "learning_rate": 4e-3},
        "budgets": [2, math.inf],
        "privacy": PRIVACY | changes.pop("privacy", {}),
        "training": TRAINING | changes.pop("training", {}),
    }
    whole: dict[str, Any] = {
        "study": "test",
        "seed": changes.pop("study_seed", 7),
        "ledger": str(folder / "ledger.jsonl"),
        "performance": PERFORMANCE | changes.pop("performance", {}),
        "experiments": {"chest": experiment | changes},
    }
    return config.Study.model_validate(whole)


class StoppedError(BaseException):
    """As a kill: nothing in the code catches it."""


@dataclass(frozen=True)
class Place:
    """A folder with a ledger, a work folder and results, and the calls of both steps of one fine-tuning in it."""

    folder: Path
    inputs: Inputs
    recipe: str = "private"
    seed: int = 0

    @property
    def work(self) -> Path:
        return self.folder / "work" / self.recipe / f"seed-{self.seed}"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.jsonl")

    def job(self, **changes: Any) -> Job:
        return Job(study=study(self.folder, **changes), experiment="chest", arm=ARMS[self.recipe], seed=self.seed)

    def reserve(self, *, inputs: Inputs | None = None, **changes: Any) -> str:
        """The run id."""
        out = self.folder / "reservation.json"
        reserve.run(self.job(**changes), inputs=inputs or self.inputs, work=self.work, key=KEY, out=out)
        return str(json.loads(out.read_text())["run_id"])

    def finetune(self, *, inputs: Inputs | None = None, **changes: Any) -> dict[str, Any]:
        """Account and certificate."""
        self.train(inputs=inputs, **changes)
        return {name: json.loads((self.folder / f"{name}.json").read_text()) for name in ("training", "certificate")}

    def train(self, *, inputs: Inputs | None = None, **changes: Any) -> None:
        """As one of several processes, of which the first alone writes."""
        finetune.run(
            self.job(**changes),
            inputs=inputs or self.inputs,
            reservation=self.folder / "reservation.json",
            work=self.work,
            key=KEY,
            out=self.folder / "model.safetensors",
            report=self.folder / "training.json",
            certificate=self.folder / "certificate.json",
        )

    def begin(self, **changes: Any) -> None:
        """Reserve, and where the run is private choose what it starts with, by which its key is bound."""
        self.reserve(**changes)
        if self.recipe != "private":
            return
        with pytest.MonkeyPatch.context() as patch:
            whole = Run.keep_start

            def stopping(run: Run, chosen: Mapping[str, Any]) -> None:
                whole(run, chosen)
                raise StoppedError

            patch.setattr(Run, "keep_start", stopping)
            with pytest.raises(StoppedError):
                self.train(**changes)

    def both(self, **changes: Any) -> dict[str, Any]:
        self.reserve(**changes)
        return self.finetune(**changes)

    @property
    def weights(self) -> bytes:
        return (self.folder / "model.safetensors").read_bytes()


def initial_weights(folder: Path) -> dict[str, Path]:
    """Fresh weights by activation."""
    for activation in ("mish", "relu"):
        made = checkpoint.Architecture.of(
            config.Model(network="resnet9", width=4, groups=2),
            activation=activation,
            findings=FINDINGS,
        )
        checkpoint.save(folder / activation, made.build(seed=3), architecture=made)
    return {activation: folder / activation for activation in ("mish", "relu")}


def inputs_of(recipe: str, *, public: Cohort, private: Cohort, initial: dict[str, Path]) -> Inputs:
    """The files that one arm reads."""
    return Inputs(
        shards=private.shards,
        manifest=private.manifest,
        assignment=private.assignment,
        initial=initial["relu" if recipe == "without_privacy" else "mish"],
        public=(public.manifest, public.assignment),
    )
