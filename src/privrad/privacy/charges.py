"""Budgets and charges: what a cohort allows and what one private run costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from privrad.privacy import accounting
from privrad.privacy.chain import LedgerError

Unit = Literal["patient", "record"]
UNITS = ("patient", "record")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that all runs on a cohort may spend together, per `unit`; an infinite epsilon sets no limit.

    Raises LedgerError for a value outside its range.
    """

    cohort: str
    epsilon: float
    delta: float
    unit: Unit = "patient"

    def __post_init__(self) -> None:
        named("cohort", self.cohort)
        require(_number(self.epsilon) and self.epsilon > 0, "budget's epsilon", self.epsilon, "above 0")
        require(_number(self.delta) and 0 < self.delta < 1, "budget's delta", self.delta, "in (0, 1)")
        require(self.unit in UNITS, "budget's unit", self.unit, "patient or record")

    def facts(self) -> dict[str, Any]:
        """For JSON, which has no infinity: no limit is None."""
        return asdict(self) | {"epsilon": None if math.isinf(self.epsilon) else self.epsilon}


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One private run: what it costs, in its own unit; `label` is <study>/<experiment>/<arm>/seed-<seed>.

    `delta` is the run's own, at which its epsilon is told. Raises LedgerError for a value outside its range.
    """

    label: str
    unit: Unit
    noise_multiplier: float
    sample_rate: float
    steps: int
    delta: float
    max_images_per_patient: int | None

    def __post_init__(self) -> None:
        named("label", self.label)
        of = f"of {self.label}"
        require(self.unit in UNITS, f"unit {of}", self.unit, "patient or record")
        for name in ("noise_multiplier", "sample_rate", "delta"):
            require(_number(getattr(self, name)), f"{name} {of}", getattr(self, name), "a number")
        require(0 < self.delta < 1, f"delta {of}", self.delta, "in (0, 1)")
        require(_whole(self.steps), f"steps {of}", self.steps, "a whole number of at least 1")
        images = self.max_images_per_patient
        require(
            images is None or _whole(images), f"max_images_per_patient {of}", images, "a whole number of at least 1"
        )
        try:
            self._run(images=1)
        except ValueError as error:
            raise LedgerError(f"{self.label}: {error}") from None

    def charged(self, unit: Unit) -> accounting.Run:
        """The run as it is charged to a budget per `unit`: a patient may have all of its records in it.

        Raises LedgerError where the run does not bound the change of one such unit.
        """
        if self.unit == unit:
            return self._run(images=1)
        if unit == "record":
            raise LedgerError(
                f"{self.label} has privacy.unit: patient, which does not bound the change of one record, and its "
                "cohort has a budget per record; give the budget per patient, or set privacy.unit: record"
            )
        if self.max_images_per_patient is None:
            raise LedgerError(
                f"{self.label} has privacy.unit: record and its cohort has a budget per patient, but "
                "privacy.max_images_per_patient is not set; set it to the most images of one patient"
            )
        return self._run(images=self.max_images_per_patient)

    def epsilon(self) -> float:
        """The epsilon of this run alone, at its own delta and in its own unit."""
        return accounting.compose([self.charged(self.unit)], delta=self.delta)

    def _run(self, *, images: int) -> accounting.Run:
        return accounting.Run(
            noise_multiplier=self.noise_multiplier, sample_rate=self.sample_rate, steps=self.steps, images=images
        )


def named(what: str, value: object) -> None:
    """Raise LedgerError unless `value` is a name that can stand in a table: text that can be printed, not empty."""
    require(isinstance(value, str) and bool(value) and value.isprintable(), what, repr(value), "a name on one line")


def require(holds: bool, name: str, value: object, allowed: str) -> None:
    """Raise LedgerError naming `value` and what is `allowed` unless that `holds`."""
    if not holds:
        raise LedgerError(f"{name} {value} must be {allowed}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
