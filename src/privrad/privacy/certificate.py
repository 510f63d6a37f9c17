"""What a model's makers can state about the privacy of those whose images it was trained on."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from privrad.privacy import accounting
from privrad.privacy.plan import Plan

NOT_COVERED = (
    "validation and test images, from which thresholds and accuracy are computed",
    "images and labels of the public cohort",
    "which settings were chosen, where they were chosen by their results on the private cohort",
    "other models trained on the same cohort: their epsilons compose with this one",
)
PACKAGES = ("privrad", "torch", "opacus", "dp-accounting", "cryptography", "numpy")
SEEDED = "seeded noise: who knows the seed can subtract it; not for release"
UNPROTECTED = "unprotected: trained on the private cohort without clipping or noise; not for release"
RECORD_OF_PATIENT = (
    "one record more or less of a patient who has others replaces this patient's contribution; "
    "the epsilon of that change can be larger than the epsilon of a whole patient stated here, and is not computed"
)
UNTRAINED = "nothing learned from the private cohort"

Facts = Mapping[str, Any]


def protected(plan: Plan, *, model: Facts) -> dict[str, Any]:
    """The certificate of a private run; `model` adds facts about the run and its weights.

    `epsilon` is by PLD. Under reproducible noise it is None, and `nominal_epsilon` says what it would have been. Where
    the unit is the record, the patient's epsilon at `max_images_per_patient` stands beside it.
    """
    run: dict[str, Any] = {"delta": plan.delta, "sample_rate": plan.sample_rate, "steps": plan.steps}
    nominal = accounting.epsilon(plan.noise_multiplier, **run)
    released = plan.noise == "release"
    return {
        **_common(model),
        "protection": "differential privacy" if released else SEEDED,
        "unit": plan.unit,
        "neighbouring_relation": "add_or_remove_one",
        "population": plan.population,
        "expected_batch": plan.expected_batch,
        "sample_rate": plan.sample_rate,
        "sampling": "poisson",
        "views": plan.views,
        "steps": plan.steps,
        "delta": plan.delta,
        "clipping_norm": plan.clipping_norm,
        "noise_multiplier": plan.noise_multiplier,
        "noise": plan.noise,
        "key": "drawn from the operating system, held in memory only" if released else "derived from the seed",
        "target_epsilon": plan.epsilon,
        "epsilon": nominal if released else None,
        "nominal_epsilon": nominal,
        "accountants": {
            "pld": nominal,
            "rdp": accounting.rdp_epsilon(plan.noise_multiplier, **run),
            "prv": accounting.prv_epsilon(plan.noise_multiplier, **run),
        },
        "other_unit": _other_unit(plan, released=released),
    }


def without(kind: Literal["unprotected", "untrained"], *, model: Facts) -> dict[str, Any]:
    """The certificate of a model that saw the private cohort unprotected, or did not see it at all."""
    return {
        **_common(model),
        "protection": UNPROTECTED if kind == "unprotected" else UNTRAINED,
        "epsilon": None if kind == "unprotected" else 0.0,
        "nominal_epsilon": None if kind == "unprotected" else 0.0,
    }


def engine_sha256() -> str:
    """The SHA-256 over the source files of this package, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _other_unit(plan: Plan, *, released: bool) -> dict[str, Any]:
    if plan.unit == "patient":
        return {"unit": "record", "epsilon": None, "nominal_epsilon": None, "remark": RECORD_OF_PATIENT}
    images = plan.max_images_per_patient or 1
    reached = accounting.patient_epsilon(
        plan.noise_multiplier, delta=plan.delta, sample_rate=plan.sample_rate, steps=plan.steps, images=images
    )
    return {
        "unit": "patient",
        "images": images,
        "epsilon": reached if released else None,
        "nominal_epsilon": reached,
        "remark": "a patient with several records has a larger epsilon than each of them",
    }


def _common(model: Facts) -> dict[str, Any]:
    return {
        "model": dict(model),
        "not_covered": list(NOT_COVERED),
        "engine_sha256": engine_sha256(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
