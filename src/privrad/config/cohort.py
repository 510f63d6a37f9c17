"""The cohorts of an experiment: where they lie, how they are laid out, what may be spent on them, and their split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from privrad.config.values import Frozen, Modality, Name, Role, Share, Unit
from privrad.study_file import expand

LAYOUTS: Mapping[Modality, tuple[str, ...]] = {
    "radiograph": (
        "mimic_cxr_jpg",
        "uka_cxr",
        "nih_cxr14",
        "covid_cxr",
        "chexpert",
        "padchest",
        "vindr_cxr",
        "rsna_pneumonia",
        "openi",
        "aiforcovid",
        "shenzhen",
        "montgomery",
    ),
    "ct": ("pdac", "panorama", "msd_pancreas"),
}

UNDER_AGREEMENT = ("mimic_cxr_jpg", "chexpert", "padchest", "vindr_cxr", "rsna_pneumonia", "openi", "aiforcovid")
"""Layouts of public cohorts whose terms forbid passing pictures on, as their datasheets say."""


class Phantom(Frozen):
    """A computer-drawn cohort, written in the layout that its cohort declares."""

    patients: Annotated[int, Field(ge=1, le=1_000_000)]
    size: Annotated[int, Field(ge=64, le=4096)] = 256
    style: Role
    images_per_patient: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] = (1, 8)
    prevalence: dict[Name, Share] = Field(default_factory=dict)
    difficulty: dict[str, Annotated[float, Field(gt=0, le=5)]] = Field(default_factory=dict)
    reader_noise: Share = 0.03


class Budget(Frozen):
    """The most that all trainings on a cohort together may spend; it belongs to the cohort's id, not to its content."""

    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]
    unit: Unit = "patient"


class Cohort(Frozen):
    """Where a cohort lies, how it is laid out, how its source columns name the findings, what may be spent on it."""

    id: Name
    layout: Literal[
        "mimic_cxr_jpg",
        "uka_cxr",
        "nih_cxr14",
        "covid_cxr",
        "chexpert",
        "padchest",
        "vindr_cxr",
        "rsna_pneumonia",
        "openi",
        "aiforcovid",
        "shenzhen",
        "montgomery",
        "pdac",
        "panorama",
        "msd_pancreas",
    ]
    sensitivity: Literal["public", "synthetic", "private"]
    root: Annotated[Path, BeforeValidator(expand)] | None = None
    phantom: Phantom | None = None
    labels: dict[Name, str]
    columns: dict[str, str] = Field(default_factory=dict)
    budget: Budget | None = None

    @property
    def redistributable(self) -> bool:
        """Whether its pictures may leave: drawn ones, and public ones without terms against it."""
        return self.sensitivity == "synthetic" or (self.sensitivity == "public" and self.layout not in UNDER_AGREEMENT)

    @property
    def id_space(self) -> str:
        """What its patient ids are ids of: cohorts alike in this have the same patient where they have the same id.

        RSNA's pictures are NIH's. The ids of a private cohort are keyed otherwise; one's own table has its own ids.
        """
        if self.sensitivity == "private" or self.layout in ("uka_cxr", "pdac"):
            return f"{self.layout} {self.id}"
        return "nih_cxr14" if self.layout == "rsna_pneumonia" else self.layout

    @model_validator(mode="after")
    def _one_source(self) -> Cohort:
        if (self.root is None) == (self.phantom is None):
            raise ValueError("give either root (a folder that exists) or phantom (a cohort to draw), not both")
        if self.phantom is not None and self.sensitivity != "synthetic":
            raise ValueError("a phantom cohort has sensitivity: synthetic")
        if self.phantom is None and self.sensitivity == "synthetic":
            raise ValueError("sensitivity: synthetic is for phantom cohorts; use public or private")
        return self

    @model_validator(mode="after")
    def _budgeted(self) -> Cohort:
        if self.sensitivity == "private" and self.budget is None:
            raise ValueError(
                "sensitivity: private needs a budget for all that is ever trained on the cohort, "
                "such as budget: {epsilon: 8, delta: 1e-6, unit: patient}"
            )
        return self


class Split(Frozen):
    """Shares of patients by keyed hash, or the cohort's own table."""

    by: Literal["hash", "table"] = "hash"
    validation: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _leaves_training(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must stay below 1, so that patients are left to train on")
        return self


class Cohorts(Frozen):
    public: Cohort | None = None
    private: Cohort


class Splits(Frozen):
    public: Split = Split(by="table")
    private: Split = Split()
