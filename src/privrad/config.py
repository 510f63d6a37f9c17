"""The study file: frozen models with bounds, and the only module that knows their shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from privrad.study_file import ConfigError as ConfigError
from privrad.study_file import expand, read

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Role = Literal["public", "private"]
Activation = Literal["mish", "relu"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")


def _infinite(value: object) -> object:
    return math.inf if value in ("inf", ".inf") else value


def _none(value: object) -> object:
    return None if value == "none" else value


Epsilon = Annotated[float, Field(gt=0, allow_inf_nan=True), BeforeValidator(_infinite)]
Unit = Literal["patient", "record"]
Minutes = Annotated[float, Field(ge=0, le=100_000)]
FEWEST_SHOWN = 5


class Phantom(Frozen):
    """A computer-drawn cohort, written in the layout that its cohort declares."""

    patients: Annotated[int, Field(ge=1, le=1_000_000)]
    size: Annotated[int, Field(ge=64, le=4096)] = 256
    style: Role
    images_per_patient: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] = (1, 8)
    prevalence: dict[Name, Share] = {}
    difficulty: dict[str, Annotated[float, Field(gt=0, le=5)]] = {}
    reader_noise: Share = 0.03


class Budget(Frozen):
    """The most that all trainings on a cohort together may spend; it belongs to the cohort's id, not to its content."""

    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]
    unit: Unit = "patient"


class Cohort(Frozen):
    """Where a cohort lies, how it is laid out, how its source columns name the findings, what may be spent on it."""

    id: Name
    layout: Literal["mimic_cxr_jpg", "uka_cxr", "nih_cxr14", "covid_cxr"]
    sensitivity: Literal["public", "synthetic", "private"]
    root: Annotated[Path, BeforeValidator(expand)] | None = None
    phantom: Phantom | None = None
    labels: dict[Name, str]
    columns: dict[str, str] = {}
    budget: Budget | None = None

    @property
    def redistributable(self) -> bool:
        """Whether its pictures may leave: drawn ones, and public ones that need no signed agreement."""
        return self.sensitivity == "synthetic" or (self.sensitivity == "public" and self.layout != "mimic_cxr_jpg")

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


class Image(Frozen):
    size: Annotated[int, Field(ge=32, le=2048)] = 512
    shards: Annotated[int, Field(ge=1, le=4096)] = 8


class Model(Frozen):
    network: Literal["resnet9", "resnet18", "resnet34"] = "resnet9"
    width: Annotated[int, Field(ge=4, le=256)] = 64
    groups: Annotated[int, Field(ge=1, le=64)] = 32

    @model_validator(mode="after")
    def _groups_divide(self) -> Model:
        if self.width % self.groups:
            raise ValueError(f"groups {self.groups} must divide width {self.width}")
        return self


class Augmentation(Frozen):
    """Random views of a training image: a mirrored one swaps left and right labels."""

    flip: Share = 0.5
    rotation_degrees: Annotated[float, Field(ge=0, le=45)] = 10.0


class Recipe(Frozen):
    """An ordinary (not private) training."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    batch: Annotated[int, Field(ge=1, le=65536)] = 128
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 150
    augmentation: Augmentation | None = Augmentation()


class Pretraining(Recipe):
    """The ordinary training on the public cohort, once per activation."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4


OF_GUARANTEE = {"delta", "clipping_norm", "clipping", "precision", "noise", "max_images_per_patient"}
"""The keys of `privacy` that a training without clipping and noise does not depend on."""


class Privacy(Frozen):
    """All that the guarantee of one run depends on, apart from its epsilon."""

    unit: Unit = "patient"
    population: Annotated[int, Field(ge=1)]
    expected_batch: Annotated[int, Field(ge=1)]
    steps: Annotated[int, Field(ge=1, le=100_000_000)]
    delta: Annotated[float, Field(gt=0, lt=1)]
    clipping_norm: Annotated[float, Field(gt=0, le=1e6)] = 1.5
    clipping: Literal["mixed", "opacus"] = "mixed"
    precision: Literal["float32", "bfloat16"] = "float32"
    views: Annotated[int, Field(ge=1, le=64)] = 1
    max_images_per_patient: Annotated[int, Field(ge=1)] | None = None
    noise: Literal["reproducible", "release"] = "release"

    @model_validator(mode="after")
    def _coherent(self) -> Privacy:
        if self.expected_batch > self.population:
            raise ValueError(f"expected_batch {self.expected_batch} must not exceed population {self.population}")
        if self.delta >= 1 / self.population:
            raise ValueError(f"delta {self.delta:g} must be below 1/population = {1 / self.population:.3g}")
        if self.unit == "record" and self.max_images_per_patient is None:
            raise ValueError("unit: record needs max_images_per_patient, the most images that any patient has")
        if self.unit == "record" and self.views != 1:
            raise ValueError("views are drawn from a patient's images; unit: record takes views: 1")
        return self


class Training(Frozen):
    """Fine-tuning: the private recipe, and beside it the paper's recipe without privacy."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    positive_weights: Literal["public", "none"] | dict[Name, Annotated[float, Field(gt=0, le=1e4)]] = "public"
    without_privacy: Recipe = Recipe()


Pair = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2, max_length=2)]


class Evaluation(Frozen):
    """How predictions are measured, by which groups, and what counts as a difference."""

    redraws: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    resample: Literal["patient", "image"] = "patient"
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    intervals: Literal["auto", "percentile", "bca"] = "auto"
    threshold: Literal["youden", "youden_test"] = "youden"
    specificity: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    age_bands: tuple[Annotated[float, Field(ge=0, le=150)], ...] = (0, 30, 60, 70, 80, 100)
    intersections: tuple[Pair, ...] = (("sex", "age"),)
    fairness_difference: Annotated[float, Field(gt=0, lt=1)] = 0.12
    minimum_cell: Annotated[int, Field(ge=1)] = 10

    @model_validator(mode="after")
    def _ascending(self) -> Evaluation:
        if len(self.age_bands) < 2 or list(self.age_bands) != sorted(set(self.age_bands)):
            raise ValueError(f"age_bands {list(self.age_bands)} must be two or more ascending ages")
        return self

    @model_validator(mode="after")
    def _pairs_differ(self) -> Evaluation:
        pairs = [" and ".join(sorted(pair)) for pair in self.intersections]
        for one, other in self.intersections:
            if one == other:
                raise ValueError(f"intersections pairs {one} with itself; name two different columns")
        if repeated := [pair for pair in dict.fromkeys(pairs) if pairs.count(pair) > 1]:
            raise ValueError(f"intersections names {', '.join(repeated)} twice; give each pair once, in one order")
        return self


class Performance(Frozen):
    """What can change the speed, and nothing else beyond floating-point rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    physical_batch: Annotated[int, Field(ge=1, le=65536)] = 64
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    checkpoint_minutes: Minutes = 10.0


class Arm(Frozen):
    """One fine-tuning: a budget and the recipe that it is trained with."""

    name: str
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=True)]
    recipe: Literal["private", "without_privacy", "matched", "none"]

    @property
    def activation(self) -> Activation:
        return "relu" if self.recipe == "without_privacy" else "mish"


def mirrored(finding: str) -> str:
    """What a mirrored image of a finding shows: the same on the other side, where its name ends in _left or _right."""
    stem, _, side = finding.rpartition("_")
    return {"left": f"{stem}_right", "right": f"{stem}_left"}.get(side if stem else "", finding)


class Experiment(Frozen):
    findings: Annotated[tuple[Name, ...], Field(min_length=1)]
    cohorts: Cohorts
    split: Splits = Splits()
    image: Image = Image()
    model: Model = Model()
    pretraining: Annotated[Pretraining | None, BeforeValidator(_none)]
    budgets: Annotated[tuple[Epsilon, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    allow_unprotected: bool = False
    spend: bool | tuple[str, ...] = False
    privacy: Privacy
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    compare: Literal["uka_cxr", "pdac"] | None = None

    @model_validator(mode="after")
    def _cohorts_serve(self) -> Experiment:
        if self.pretraining is not None and self.cohorts.public is None:
            raise ValueError("pretraining needs cohorts.public; give one, or set pretraining: none")
        if self.training.positive_weights == "public" and self.cohorts.public is None:
            raise ValueError("training.positive_weights: public needs cohorts.public; give one, or constants, or none")
        for role, cohort in self.roles.items():
            missing = set(self.findings) - set(cohort.labels)
            if missing:
                raise ValueError(f"cohorts.{role}.labels lacks {sorted(missing)}: say which column holds each")
            if cohort.sensitivity == "private" and role == "public":
                raise ValueError("cohorts.public must not have sensitivity: private, since pretraining protects nobody")
        return self

    @model_validator(mode="after")
    def _lists_name_each_once(self) -> Experiment:
        budgets = [f"{budget:g}" for budget in self.budgets]
        for values, key in ((budgets, "budgets"), (self.seeds, "seeds"), (self.findings, "findings")):
            if len(set(values)) != len(values):
                raise ValueError(f"{key} {', '.join(map(str, values))} must not repeat a value (to six digits)")
        weights = self.training.positive_weights
        if isinstance(weights, dict) and set(weights) != set(self.findings):
            at_fault = sorted(set(weights) ^ set(self.findings))
            raise ValueError(f"training.positive_weights must name each finding once; at fault: {at_fault}")
        return self

    @model_validator(mode="after")
    def _mirrored_findings_have_both_sides(self) -> Experiment:
        recipes: list[Recipe] = [self.training.without_privacy] if math.inf in self.budgets else []
        recipes += [self.pretraining] if self.pretraining is not None else []
        if any(recipe.augmentation is not None and recipe.augmentation.flip for recipe in recipes):
            for finding in self.findings:
                if (other := mirrored(finding)) not in self.findings:
                    raise ValueError(f"a mirrored image of {finding} shows {other}; add it to findings, or set flip: 0")
        return self

    @model_validator(mode="after")
    def _private_cohort_is_protected(self) -> Experiment:
        if self.cohorts.private.sensitivity != "private":
            return self
        if self.evaluation.minimum_cell < FEWEST_SHOWN:
            raise ValueError(
                f"evaluation.minimum_cell {self.evaluation.minimum_cell} would let counts of single patients of a "
                f"private cohort leave; give {FEWEST_SHOWN} or more"
            )
        if self.privacy.noise == "reproducible":
            raise ValueError(
                "privacy.noise: reproducible can be subtracted by who knows the seed; a private cohort needs release"
            )
        if math.inf in self.budgets and not self.allow_unprotected:
            raise ValueError(
                "budgets: inf trains models that protect nobody on a private cohort; take inf out, or set "
                "allow_unprotected: true and never let those models leave"
            )
        return self

    @model_validator(mode="after")
    def _budget_covers_each_run(self) -> Experiment:
        if self.cohorts.public is not None and self.cohorts.public.budget is not None:
            raise ValueError("cohorts.public takes no budget, since pretraining protects nobody; take budget out there")
        budget = self.cohorts.private.budget
        if budget is None:
            return self
        if budget.unit == "record" and self.privacy.unit == "patient":
            raise ValueError(
                "cohorts.private.budget.unit: record cannot be charged with privacy.unit: patient, whose noise does "
                "not bound the change of a single record; give the budget per patient, or set privacy.unit: record"
            )
        if budget.delta >= 1 / self.privacy.population:
            raise ValueError(
                f"cohorts.private.budget.delta {budget.delta:g} must be below 1/privacy.population = "
                f"{1 / self.privacy.population:.3g}, as every delta"
            )
        too_large = [f"{run:g}" for run in self.budgets if budget.epsilon < run < math.inf]
        if too_large and budget.delta <= self.privacy.delta:
            raise ValueError(
                f"budgets: {', '.join(too_large)} exceeds cohorts.private.budget.epsilon {budget.epsilon:g}, which all "
                "runs on the cohort share; lower the one or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _spend_names_runs(self) -> Experiment:
        private = [arm.name for arm in self.arms.values() if arm.recipe == "private"]
        runs = [f"{arm}/seed-{seed}" for arm in private for seed in self.seeds]
        named = self.spend if isinstance(self.spend, tuple) else ()
        if unknown := [name for name in named if name not in runs]:
            raise ValueError(f"spend names {', '.join(unknown)}, no private run of the study; it has {', '.join(runs)}")
        return self

    def spends(self, arm: Arm, *, seed: int) -> bool:
        """Whether a run that was charged before may be charged again."""
        return self.spend if isinstance(self.spend, bool) else f"{arm.name}/seed-{seed}" in self.spend

    @property
    def roles(self) -> dict[Role, Cohort]:
        """The cohorts in use, by role."""
        roles: dict[Role, Cohort] = {"private": self.cohorts.private}
        if self.cohorts.public is not None:
            roles["public"] = self.cohorts.public
        return roles

    @property
    def arms(self) -> dict[str, Arm]:
        """Epsilon 0 (not fine-tuned), each budget, and beside `inf` its matched recipe; by name."""
        arms = [Arm(name="eps-0", epsilon=0, recipe="none")]
        for budget in sorted(self.budgets):
            if math.isinf(budget):
                arms.append(Arm(name="eps-inf-matched", epsilon=budget, recipe="matched"))
                arms.append(Arm(name="eps-inf", epsilon=budget, recipe="without_privacy"))
            else:
                arms.append(Arm(name=f"eps-{budget:g}", epsilon=budget, recipe="private"))
        return {arm.name: arm for arm in arms}

    def settings(self, arm: Arm) -> dict[str, Any]:
        """What the training of one arm depends on, and nothing that it does not."""
        parts: dict[str, Any] = {"findings": self.findings, "model": self.model.model_dump()}
        if arm.recipe == "none":
            return parts
        parts["positive_weights"] = self.training.positive_weights
        if arm.recipe == "without_privacy":
            return parts | {"recipe": self.training.without_privacy.model_dump()}
        privacy = self.privacy.model_dump(exclude=OF_GUARANTEE if arm.recipe == "matched" else None)
        return parts | {"privacy": privacy, "learning_rate": self.training.learning_rate}

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activations that pretraining is needed for."""
        return tuple(sorted({arm.activation for arm in self.arms.values()}))


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
