"""The study file: frozen models with bounds, and the only package that knows their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from privrad.config.cohort import Budget, Cohort, Cohorts, Phantom, Split, Splits
from privrad.config.evaluation import Evaluation
from privrad.config.experiment import Arm, Experiment
from privrad.config.training import (
    Augmentation,
    Image,
    Model,
    Performance,
    Pretraining,
    Privacy,
    Recipe,
    Training,
    mirrored,
)
from privrad.config.values import Activation, Frozen, Modality, Name, Role, Unit
from privrad.study_file import ConfigError, expand, read

__all__ = [
    "Activation",
    "Arm",
    "Augmentation",
    "Budget",
    "Cohort",
    "Cohorts",
    "ConfigError",
    "Evaluation",
    "Experiment",
    "Image",
    "Modality",
    "Model",
    "Performance",
    "Phantom",
    "Pretraining",
    "Privacy",
    "Recipe",
    "Role",
    "Split",
    "Splits",
    "Study",
    "Training",
    "Unit",
    "load",
    "mirrored",
]


class Study(Frozen):
    study: Name
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    ledger: Annotated[Path, BeforeValidator(expand)] = Path("work/ledger.jsonl")
    performance: Performance = Performance()
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]

    @field_validator("ledger")
    @classmethod
    def _outside_results(cls, ledger: Path) -> Path:
        if ledger.resolve().is_relative_to(Path("results").resolve()):
            raise ValueError(
                "a ledger must not lie in results/, where it would be deleted or brought back with them; "
                "give a path that all computers see and that is backed up"
            )
        return ledger

    @model_validator(mode="after")
    def _cohorts_agree(self) -> Study:
        known: dict[str, tuple[str, Cohort]] = {}
        folders: dict[Path, Cohort] = {}
        for name, experiment in self.experiments.items():
            for role, cohort in experiment.roles.items():
                place = f"experiments.{name}.cohorts.{role}"
                first, same = known.setdefault(cohort.id, (place, cohort))
                if (cohort.sensitivity, cohort.budget) != (same.sensitivity, same.budget):
                    raise ValueError(
                        f"cohort {cohort.id} has another sensitivity or budget in {place} than in {first}; "
                        "one id is one cohort with one budget, so make them alike or give the other an id of its own"
                    )
                other = folders.setdefault(cohort.root.resolve(), cohort) if cohort.root else cohort
                if other.id != cohort.id and "private" in (other.sensitivity, cohort.sensitivity):
                    raise ValueError(
                        f"cohorts {other.id} and {cohort.id} lie in one folder, {cohort.root}; the same patients are "
                        "one cohort, with one id and one budget, so give each cohort a folder of its own"
                    )
        return self


def load(path: Path) -> Study:
    """Read one study file.

    Raises ConfigError when it is missing, not YAML, or holds a key or value that is not allowed.
    """
    return read(path, Study)
