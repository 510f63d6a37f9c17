"""What a study left in its results folder, read as it is: one account an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from privrad import config, files
from privrad.imaging import shards
from privrad.report import measurements, number


class ReportError(ValueError):
    """A results folder that no report can be written from; the message names the file and what to do."""


@dataclass(frozen=True)
class CohortAccount:
    """One cohort: its declaration, its split, what was refused on the way, and its prepared images.

    `balance` has split, column, value, images, patients; `flow` has step, reason, count, where step is found, ingest
    (refused there for that reason), accepted, prepare (refused there) or prepared. Beside a count column stands, once
    the account may be shown, a text column `<name>_shown`: what to show instead of the number, empty for the number.
    `copies` has the pairs of alike pictures: kind, where, action, pairs, images.
    """

    role: config.Role
    declared: config.Cohort
    balance: pd.DataFrame
    flow: pd.DataFrame
    copies: pd.DataFrame
    prepared: shards.Images
    manifest: Path
    paths: Path
    root: Path


@dataclass(frozen=True)
class Model:
    """One training of an arm: what it did, and what it guarantees."""

    arm: config.Arm
    seed: int
    training: Mapping[str, Any]
    certificate: Mapping[str, Any]


@dataclass(frozen=True)
class Account:
    """All of one experiment, with the hash of each file that a number of the report comes from."""

    name: str
    experiment: config.Experiment
    cohorts: tuple[CohortAccount, ...]
    pretrainings: Mapping[str, Mapping[str, Any]]
    models: tuple[Model, ...]
    measured: measurements.Measurements
    summary: Mapping[str, Any]
    sources: Mapping[str, str]

    @property
    def tested(self) -> number.Kind:
        """What protects a number that was computed from patients of the private cohort."""
        return "suppressed" if self.experiment.cohorts.private.sensitivity == "private" else "public"

    @property
    def evaluate(self) -> str:
        """The folder of the evaluation, below the study's results."""
        return f"{self.name}/evaluate"


class _Folder:
    """Reads files below one folder, and keeps the hash of each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, str] = {}

    def path(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        if not path.is_file():
            raise ReportError(f"{path} is missing; make it with `snakemake`, which runs the steps before the report")
        self.hashes[path.relative_to(self.root).as_posix()] = files.sha256(path)
        return path

    def csv(self, *parts: str) -> pd.DataFrame:
        path = self.path(*parts)
        try:
            return pd.read_csv(path, dtype={"value": str, "reason": str}, keep_default_na=False)
        except (ValueError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from None

    def json(self, *parts: str) -> dict[str, Any]:
        path = self.path(*parts)
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ReportError(f"{path} is not JSON ({error}); delete it and run snakemake again") from None
        if not isinstance(read, dict):
            raise ReportError(f"{path} must hold keys and values; delete it and run snakemake again")
        return read

    def measured(self, *parts: str) -> measurements.Measurements:
        for field in fields(measurements.Measurements):
            self.path(*parts, f"{field.name}.csv")
        folder = self.root.joinpath(*parts)
        try:
            return measurements.read(folder)
        except (ValueError, KeyError) as error:
            raise _unreadable(folder, error) from None


def _unreadable(path: Path, error: Exception) -> ReportError:
    return ReportError(f"{path} is not a table that can be read ({error}); delete it and run snakemake")


def read(
    name: str,
    experiment: config.Experiment,
    *,
    results: Path,
    private: Path,
    roots: Mapping[tuple[str, config.Role], Path],
) -> Account:
    """Read the results of one experiment; `results` and `private` are the study's folders.

    Raises ReportError when a file is missing or damaged.
    """
    folder = _Folder(results / name)
    measured = folder.measured("evaluate")
    models = []
    for arm in experiment.arms.values():
        for seed in experiment.seeds if arm.recipe != "none" else experiment.seeds[:1]:
            place = ("finetune", arm.name, f"seed-{seed}")
            training, certificate = folder.json(*place, "training.json"), folder.json(*place, "certificate.json")
            models.append(Model(arm, seed, training, certificate))
    if (results / name / "figures" / "published.csv").is_file():
        folder.path("figures", "published.csv")
    activations = experiment.activations if experiment.pretraining else ()
    return Account(
        name=name,
        experiment=experiment,
        cohorts=tuple(
            _cohort(folder, role, cohort, experiment, private=private / name, root=roots[name, role])
            for role, cohort in sorted(experiment.roles.items())
        ),
        pretrainings={each: folder.json("pretrain", each, "training.json") for each in activations},
        models=tuple(models),
        measured=measured,
        summary=folder.json("evaluate", "summary.json"),
        sources={f"{name}/{path}": digest for path, digest in sorted(folder.hashes.items())},
    )


def _cohort(
    folder: _Folder,
    role: config.Role,
    cohort: config.Cohort,
    experiment: config.Experiment,
    *,
    private: Path,
    root: Path,
) -> CohortAccount:
    refused, removed = folder.csv("ingest", role, "refused.csv"), folder.csv("duplicates", role, "removed.csv")
    names = [f"shard-{shard:03d}.safetensors" for shard in range(experiment.image.shards)]
    prepared = shards.open_shards([folder.path("prepare", role, name) for name in names])
    for name in names:
        del folder.hashes[f"prepare/{role}/{name}"]
    balance = folder.csv("split", role, "balance.csv")
    return CohortAccount(
        role=role,
        declared=cohort,
        balance=balance,
        flow=_flow(balance, refused, removed, prepared),
        copies=folder.csv("duplicates", role, "counts.csv"),
        prepared=prepared,
        manifest=folder.root / "duplicates" / role / "manifest.parquet",
        paths=private / "locate" / role / "paths.parquet",
        root=root,
    )


def _flow(balance: pd.DataFrame, refused: pd.DataFrame, removed: pd.DataFrame, prepared: shards.Images) -> pd.DataFrame:
    """Found images are refused at ingest, taken out as copies or accepted; accepted ones refused or prepared."""
    accepted = int(balance.loc[balance["column"] == "all", "images"].sum())
    at_ingest, copies = _by_reason("ingest", refused), _by_reason("duplicates", removed)
    in_preparation = [("prepare", reason, int(count)) for reason, count in sorted(prepared.refused.items())]
    found = accepted + sum(count for _, _, count in [*at_ingest, *copies])
    left = len(prepared) - sum(count for _, _, count in copies)
    rows = [("found", "", found), *at_ingest, *copies, ("accepted", "", accepted), *in_preparation]
    return pd.DataFrame([*rows, ("prepared", "", left)], columns=["step", "reason", "count"])


def _by_reason(step: str, table: pd.DataFrame) -> list[tuple[str, str, int]]:
    counts = table[["reason", "count"]].itertuples(index=False)
    return sorted((step, str(reason), int(count)) for reason, count in counts)
