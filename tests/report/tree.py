"""A study's results folder with made-up numbers, to write reports from without training anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from privrad import config, files
from privrad.imaging import shards
from privrad.privacy.certificate import NOT_COVERED
from tests.report import measured

FINDINGS = (
    *("cardiomegaly", "congestion", "pleural_effusion_right", "pleural_effusion_left"),
    *("pneumonic_infiltrate_right", "pneumonic_infiltrate_left", "atelectasis_right", "atelectasis_left"),
)
FEW = {key: share for key, share in measured.GROUPS.items() if key[0] in ("all", "sex", "age")}
STUDY = """\
study: demo
seed: 1
experiments:
  chest:
    findings: [{findings}]
    cohorts:
      public:
        {{id: drawn_public, layout: mimic_cxr_jpg, sensitivity: synthetic, phantom: {{style: public, patients: 60}},
         labels: {{{labels}}}}}
      private: {{id: {name}, layout: uka_cxr, sensitivity: {sensitivity}, {budget}{source}, labels: {{{labels}}}}}
    image: {{size: 64, shards: 1}}
    model: {{width: 16, groups: 4}}
    pretraining: {{epochs: 12}}
    budgets: [{budgets}]
    seeds: [{seeds}]
    allow_unprotected: {unprotected}
    privacy: {{population: 1200, expected_batch: 256, steps: 60, delta: 6e-6, noise: {noise}}}
    evaluation: {{redraws: 200}}
"""


@dataclass(frozen=True)
class Tree:
    """What `report.run` takes."""

    study: config.Study
    study_file: Path
    results: Path
    private: Path
    roots: Mapping[tuple[str, config.Role], Path]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `report.run` but for `out`."""
        return dict(vars(self))


def build(
    folder: Path,
    *,
    private: bool = False,
    release: bool = False,
    seeds: str = "0",
    budgets: str = "0.29, 1.06, 7.89, inf",
    name: str = "hospital",
    groups: Mapping[tuple[str, str], float] = FEW,
) -> Tree:
    """Write the tree below `folder`; `private` makes the hospital's cohort private, which takes released noise."""
    hospital = folder / "hospital"
    hospital.mkdir(parents=True)
    study_file = folder / "study.yaml"
    study_file.write_text(
        STUDY.format(
            findings=", ".join(FINDINGS),
            labels=", ".join(f"{finding}: {finding}" for finding in FINDINGS),
            sensitivity="private" if private else "synthetic",
            budget="budget: {epsilon: 20, delta: 6e-6}, " if private else "",
            source=f"root: {hospital}" if private else "phantom: {style: private, patients: 60}",
            noise="release" if private or release else "reproducible",
            seeds=seeds,
            unprotected=str(private).lower(),
            budgets=budgets,
            name=name,
        )
    )
    study = config.load(study_file)
    experiment, base = study.experiments["chest"], folder / "results" / "chest"
    roots = {("chest", role): folder / role for role in experiment.roles}
    rng = np.random.default_rng(5)
    for role in experiment.roles:
        _cohort(base, folder / "private" / "chest", roots["chest", role], role=role, patients=400, rng=rng)
    trained(base, experiment)
    evaluated(base, experiment, groups=groups)
    return Tree(study, study_file, folder / "results", folder / "private", roots)


def _cohort(base: Path, private: Path, root: Path, *, role: str, patients: int, rng: np.random.Generator) -> None:
    count = 12
    ids = sorted(f"{int(number):032x}" for number in rng.integers(2**62, size=count))
    manifest = pd.DataFrame({"image_id": ids, "patient_id": ids[::-1], "view": "PA", "age": 61.0, "sex": "F"})
    for order, finding in enumerate(FINDINGS):
        manifest[finding] = [int((row + order) % 5 == 0 and row > 0) for row in range(count)]
    paths = pd.DataFrame({"image_id": ids, "path": [f"image-{row}.png" for row in range(count)]})
    root.mkdir(exist_ok=True)
    pixels = np.stack([chest(rng, size=160) for _ in range(count)])
    for row in range(count):
        cv2.imwrite(str(root / f"image-{row}.png"), pixels[row])
    for table, folder, file in ((manifest, base / "duplicates", "manifest"), (paths, private / "locate", "paths")):
        (folder / role).mkdir(parents=True)
        table.to_parquet(folder / role / f"{file}.parquet")
    small = np.stack([cv2.equalizeHist(cv2.resize(one, (64, 64), interpolation=cv2.INTER_AREA)) for one in pixels])
    refused = {"constant_image": 2, "unreadable_file": 1}
    shards.write_shard(base / "prepare" / role / "shard-000.safetensors", pixels=small, image_ids=ids, refused=refused)
    counted(base, role=role, patients=patients, findings=FINDINGS)


def counted(base: Path, *, role: str, patients: int, findings: Sequence[str]) -> None:
    """Write what was refused at ingest, and so many patients, with two images each, by part of the split."""
    files.write_text(base / "ingest" / role / "refused.csv", "reason,count\nmissing_file,11\nunknown_label,3\n")
    removed = "copy_in_another_part,2\n" if role == "public" else ""
    files.write_text(base / "duplicates" / role / "removed.csv", f"reason,count\n{removed}")
    kept = "near,between_patients,reported,3,4\n"
    files.write_text(base / "duplicates" / role / "counts.csv", f"kind,where,action,pairs,images\n{kept}")
    lines = ["split,column,value,images,patients"]
    for part, share in (("train", 0.6), ("validation", 0.1), ("test", 0.3)):
        held = round(patients * share)
        groups = [("all", "all", 1.0), ("sex", "F", 0.36), ("sex", "M", 0.64), ("sex", "U", 0.0)]
        groups += [("age", "[0,30)", 0.03), ("age", "[30,60)", 0.3), ("age", "[60,70)", 0.24)]
        groups += [("age", "[70,80)", 0.28), ("age", "[80,inf)", 0.15)]
        groups += [(finding, "positive", 0.1 + 0.03 * order) for order, finding in enumerate(findings)]
        for column, value, of in groups:
            lines.append(f'{part},{column},"{value}",{round(2 * held * of)},{round(held * of)}')
    files.write_text(base / "split" / role / "balance.csv", "\n".join(lines) + "\n")


def chest(rng: np.random.Generator, *, size: int) -> np.ndarray:
    """Two dark lungs on grey: enough to see which way round a picture is."""
    drawn = np.full((size, size), 120.0)
    for side in (-1, 1):
        centre = (size // 2 + side * size // 5, size // 2)
        cv2.ellipse(drawn, centre, (size // 7, size // 3), 0, 0, 360, 45.0, -1)
    cv2.ellipse(drawn, (round(size * 0.55), round(size * 0.62)), (size // 7, size // 6), 20, 0, 360, 150.0, -1)
    drawn[-size // 8 :] = 170
    return np.clip(cv2.GaussianBlur(drawn, (0, 0), 3) + rng.normal(0, 5, drawn.shape), 0, 255).astype(np.uint8)


def trained(base: Path, experiment: config.Experiment) -> None:
    """Write what the trainings of an experiment leave behind, without their weights."""
    for activation in experiment.activations:
        files.write_json(base / "pretrain" / activation / "training.json", {"activation": activation, "epochs": 12})
    for arm in experiment.arms.values():
        for seed in experiment.seeds if arm.recipe != "none" else experiment.seeds[:1]:
            folder = base / "finetune" / arm.name / f"seed-{seed}"
            files.write_json(folder / "training.json", {"recipe": arm.recipe, "activation": arm.activation})
            files.write_json(folder / "certificate.json", _certificate(arm, experiment))


def _certificate(arm: config.Arm, experiment: config.Experiment) -> dict[str, Any]:
    common: dict[str, Any] = {"model": {"arm": arm.name, "weights_sha256": arm.name.encode().hex().ljust(64, "0")}}
    common |= {"not_covered": list(NOT_COVERED[:2])}
    common |= {"versions": {"python": "3.11.2", "torch": "2.13.0"}}
    if arm.recipe != "private":
        return common | {"epsilon": 0.0 if arm.recipe == "none" else None}
    privacy = experiment.privacy
    released = privacy.noise == "release"
    caught = {"0.001": 0.001 * (1 + arm.epsilon), "0.01": 0.01 * (1 + arm.epsilon), "0.1": 0.1 * (1 + arm.epsilon)}
    attacker = {"unit": privacy.unit, "true_positive_rate": caught, "membership_advantage": 0.1 * arm.epsilon}
    return common | {
        "unit": privacy.unit,
        "noise": privacy.noise,
        "noise_multiplier": 8.4 / arm.epsilon**0.8,
        "sample_rate": 256 / 1200,
        "steps": privacy.steps,
        "delta": privacy.delta,
        "clipping_norm": privacy.clipping_norm,
        "epsilon": arm.epsilon if released else None,
        "nominal_epsilon": arm.epsilon,
        "accountants": {"pld": arm.epsilon, "rdp": 1.08 * arm.epsilon, "prv": 1.001 * arm.epsilon},
        "attacker": attacker if released else None,
        "nominal_attacker": attacker,
        "ledger": {"run_id": "ab" * 16, "head": "cd" * 32 if released else None, "entry": 3 if released else None},
        "cohort_so_far": {"epsilon": 11.5, "delta": privacy.delta, "unit": "patient", "this_run": "declared"},
    }


def evaluated(base: Path, experiment: config.Experiment, *, groups: Mapping[tuple[str, str], float]) -> None:
    """Write the tables of an evaluation, with made-up numbers."""
    arms = {name: float(arm.epsilon) for name, arm in experiment.arms.items()}
    made = measured.build(arms=arms, findings=experiment.findings, seeds=experiment.seeds, groups=groups)
    differences = made.differences[made.differences["reference"].isin(arms)]
    made = replace(made, differences=differences, validation=made.validation[made.validation["reference"].isin(arms)])
    measured.write(made, base / "evaluate")
    found = made.validation[made.validation["noninferior"].astype(bool) & (made.validation["epsilon"] < math.inf)]
    smallest = found.sort_values("epsilon").to_dict("records")[:1]
    noninferior = [{key: row[key] for key in ("arm", "epsilon", "margin", "reference")} for row in smallest]
    summary: dict[str, Any] = {
        "noninferior": noninferior[0] if noninferior else None,
        "models": [],
        "images": 4000,
        "patients": 1700,
    }
    files.write_json(base / "evaluate" / "summary.json", summary)
