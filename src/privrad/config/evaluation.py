"""How predictions are evaluated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from privrad.config.values import Frozen, form

Quartiles = Annotated[Literal["quartiles"], Tag("single")]
Edges = Annotated[tuple[Annotated[float, Field(ge=0, le=150)], ...], Tag("list")]
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
    age_bands: Annotated[Quartiles | Edges, Discriminator(form)] = (0, 30, 60, 70, 80, 100)
    intersections: tuple[Pair, ...] = (("sex", "age"),)
    fairness_difference: Annotated[float, Field(gt=0, lt=1)] = 0.12
    minimum_cell: Annotated[int, Field(ge=1)] = 10

    @model_validator(mode="after")
    def _ascending(self) -> Evaluation:
        edges = self.age_bands
        if edges != "quartiles" and (len(edges) < 2 or list(edges) != sorted(set(edges))):
            raise ValueError(f"age_bands {list(edges)} must be two or more ascending ages, or quartiles")
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
