"""What images are prepared to, and how networks are trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from privrad.config.values import Frozen, Minutes, Modality, Name, Share, Unit, form, none

Pixels = Annotated[int, Field(ge=32, le=2048)]
Voxels = Annotated[int, Field(ge=8, le=1024)]
Square = Annotated[Pixels, Tag("single")]
Volume = Annotated[tuple[Voxels, Voxels, Voxels], Tag("list")]
Hounsfield = Annotated[float, Field(ge=-1024, le=3071)]


class Image(Frozen):
    """What an image is prepared to: a square of `size`, or columns, rows and slices of a CT scan, in a HU window."""

    size: Annotated[Square | Volume, Discriminator(form)] = 512
    window: tuple[Hounsfield, Hounsfield] | None = None
    shards: Annotated[int, Field(ge=1, le=4096)] = 8

    @model_validator(mode="after")
    def _window_is_for_volumes(self) -> Image:
        if isinstance(self.size, tuple) != (self.window is not None):
            raise ValueError(
                "size and window: a CT scan takes size: [columns, rows, slices] with window: [low, high] in Hounsfield "
                "units, a radiograph one number for size and no window"
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window {list(self.window)} must be [low, high] in Hounsfield units, the lower one first")
        return self


NETWORKS: Mapping[Modality, tuple[str, ...]] = {
    "radiograph": ("resnet9", "resnet18", "resnet34"),
    "ct": ("scale_resnet9",),
}


class Model(Frozen):
    network: Literal["resnet9", "resnet18", "resnet34", "scale_resnet9"] = "resnet9"
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
    augmentation: Annotated[Augmentation | None, BeforeValidator(none)] = Augmentation()


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


class Performance(Frozen):
    """What can change the speed, and nothing else beyond floating-point rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    physical_batch: Annotated[int, Field(ge=1, le=65536)] = 64
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    checkpoint_minutes: Minutes = 10.0


def mirrored(finding: str) -> str:
    """What a mirrored image of a finding shows: the same on the other side, where its name ends in _left or _right."""
    stem, _, side = finding.rpartition("_")
    return {"left": f"{stem}_right", "right": f"{stem}_left"}.get(side if stem else "", finding)
