"""The kinds of values that a study file holds, and the frozen model that all its blocks are."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Role = Literal["public", "private"]
Activation = Literal["mish", "relu"]
Modality = Literal["radiograph", "ct"]
Unit = Literal["patient", "record"]
Minutes = Annotated[float, Field(ge=0, le=100_000)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")


def infinite(value: object) -> object:
    return math.inf if value in ("inf", ".inf") else value


def none(value: object) -> object:
    return None if value == "none" else value


def form(value: object) -> str:
    """Which form of a value that may be a list was given, so that a fault is told of that form alone."""
    return "list" if isinstance(value, list | tuple) else "single"


Epsilon = Annotated[float, Field(gt=0, allow_inf_nan=True), BeforeValidator(infinite)]
