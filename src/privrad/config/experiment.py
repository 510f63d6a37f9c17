"""One experiment of a study: its blocks, and what must hold between them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from privrad.config.cohort import LAYOUTS, Cohort, Cohorts, Splits
from privrad.config.evaluation import Evaluation
from privrad.config.training import (
    NETWORKS,
    OF_GUARANTEE,
    Image,
    Model,
    Pretraining,
    Privacy,
    Recipe,
    Training,
    mirrored,
)
from privrad.config.values import Activation, Epsilon, Frozen, Modality, Name, Role, none

FEWEST_SHOWN = 5


class Arm(Frozen):
    """One fine-tuning: a budget and the recipe that it is trained with."""

    name: str
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=True)]
    recipe: Literal["private", "without_privacy", "matched", "none"]
    activation: Activation = "mish"


class Experiment(Frozen):
    modality: Modality = "radiograph"
    findings: Annotated[tuple[Name, ...], Field(min_length=1)]
    cohorts: Cohorts
    split: Splits = Splits()
    image: Image = Image()
    model: Model = Model()
    pretraining: Annotated[Pretraining | None, BeforeValidator(none)]
    budgets: Annotated[tuple[Epsilon, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    allow_unprotected: bool = False
    spend: bool | tuple[str, ...] = False
    privacy: Privacy
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    compare: Literal["uka_cxr", "pdac"] | None = None

    @model_validator(mode="after")
    def _of_one_modality(self) -> Experiment:
        for role, cohort in self.roles.items():
            if cohort.layout not in LAYOUTS[self.modality]:
                raise ValueError(
                    f"cohorts.{role}.layout {cohort.layout} is not for modality: {self.modality}, whose layouts are "
                    f"{', '.join(LAYOUTS[self.modality])}; choose one of them, or set modality"
                )
        if self.model.network not in NETWORKS[self.modality]:
            raise ValueError(
                f"model.network {self.model.network} is not for modality: {self.modality}; "
                f"choose {' or '.join(NETWORKS[self.modality])}"
            )
        if isinstance(self.image.size, tuple) != (self.modality == "ct"):
            needed = "[columns, rows, slices] and image.window" if self.modality == "ct" else "one number"
            raise ValueError(f"image.size {self.image.size} is not for modality: {self.modality}; give {needed}")
        recipes = {"training.without_privacy": self.training.without_privacy, "pretraining": self.pretraining}
        for key, recipe in recipes.items():
            if self.modality == "ct" and recipe is not None and recipe.augmentation is not None:
                raise ValueError(f"{key}.augmentation mirrors and turns flat images only; set it to none")
        return self

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
    def same_ids(self) -> bool:
        """Whether a patient of both cohorts has one id in both."""
        public = self.cohorts.public
        return public is not None and public.id_space == self.cohorts.private.id_space

    @property
    def arms(self) -> dict[str, Arm]:
        """Epsilon 0 (not fine-tuned), each budget, and beside `inf` its matched recipe; by name."""
        arms = [Arm(name="eps-0", epsilon=0, recipe="none")]
        for budget in sorted(self.budgets):
            if math.isinf(budget):
                arms.append(Arm(name="eps-inf-matched", epsilon=budget, recipe="matched"))
                activation: Activation = "mish" if self.modality == "ct" else "relu"  # the paper's
                arms.append(Arm(name="eps-inf", epsilon=budget, recipe="without_privacy", activation=activation))
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
