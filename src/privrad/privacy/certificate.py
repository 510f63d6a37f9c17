"""What a model's makers can state about the privacy of those whose images it was trained on."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from privrad.privacy import accounting
from privrad.privacy.attack import FALSE_POSITIVE_RATES, Attack
from privrad.privacy.plan import Plan

if TYPE_CHECKING:
    from privrad.privacy.ledger import Receipt

FORMAT = 3
DELTAS = (1e-5, 1e-6)
"""At which smaller deltas a certificate states epsilon beside its own; a delta of 1e-3 alone says little."""
NOT_COVERED = (
    "validation and test patients, from whom thresholds and accuracy are computed",
    "the patients of a public cohort, where there is one",
    "which settings were chosen, where they were chosen by their results on the private cohort",
    "other models trained on the same cohort: their epsilons compose with this one",
)
PACKAGES = ("privrad", "torch", "opacus", "dp-accounting", "cryptography", "numpy")
PROTECTED = "differential privacy"
SEEDED = "seeded noise: who knows the seed can subtract it; not for release"
UNPROTECTED = "unprotected: trained on the private cohort without clipping or noise; not for release"
UNTRAINED = "nothing learned from the private cohort"
RECORD_OF_PATIENT = (
    "one record more or less of a patient who has others replaces this patient's contribution; "
    "the epsilon of that change can be larger than the epsilon of a whole patient stated here, and is not computed"
)
PATIENT_OF_RECORDS = "a patient with several records has a larger epsilon than each of them"
ATTACK = (
    "at most this share of those trained on is recognised by who sees the model and knows all others' data, where this "
    "share of others is taken for them; the advantage is the largest difference between the two shares"
)
SO_FAR = {
    "declared": (
        "all runs that the first study on this cohort declared beforehand, whether or not they ran, and every run "
        "entered since, up to the ledger's head named here; choosing one of several models costs all of them"
    ),
    "later": "every run declared or entered up to the ledger's head named here, this one, which came later, included",
    "unprotected": "this run protects nobody; a private cohort's total is infinite from it on",
}

Facts = Mapping[str, Any]


def protected(
    plan: Plan, *, model: Facts, receipt: Receipt | None, data: Mapping[str, str], settings: Facts
) -> dict[str, Any]:
    """The certificate of a private run, a value for JSON.

    `model` adds facts about the run and its weights, `receipt` the ledger's entry of the run, `data` keyed hashes
    (HMAC, hexadecimal) of what it was trained on by name, `settings` the study's blocks that it was bound to.
    `epsilon` is by PLD, and so is `other_deltas`, the epsilon at each of DELTAS that is below the plan's. Under
    reproducible noise these are None, as is `attacker`, and the fields named nominal say what they would have been.
    """
    run = accounting.Run(noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate, steps=plan.steps)
    terms: dict[str, Any] = {"delta": plan.delta, "sample_rate": plan.sample_rate, "steps": plan.steps}
    nominal = accounting.epsilon(plan.noise_multiplier, **terms)
    attacker = _attacker(accounting.attack(run), unit=plan.unit)
    smaller = other_deltas(plan.noise_multiplier, **terms)
    released = plan.noise == "release"
    return {
        **_common(model, data=data, settings=settings),
        "protection": PROTECTED if released else SEEDED,
        "unit": plan.unit,
        "neighbouring_relation": "add_or_remove_one",
        "population": plan.population,
        "expected_batch": plan.expected_batch,
        "sampling": "poisson",
        "views": plan.views,
        "clipping_norm": plan.clipping_norm,
        "clipping": plan.clipping,
        "precision": plan.precision,
        "noise_multiplier": plan.noise_multiplier,
        "noise": plan.noise,
        "key": "drawn from the operating system; key file deleted" if released else "derived from the seed",
        **terms,
        "target_epsilon": plan.epsilon,
        "epsilon": nominal if released else None,
        "nominal_epsilon": nominal,
        "accountants": {
            "pld": nominal,
            "rdp": accounting.rdp_epsilon(plan.noise_multiplier, **terms),
            "prv": accounting.prv_epsilon(plan.noise_multiplier, **terms),
        },
        "other_deltas": smaller if released else None,
        "nominal_other_deltas": smaller,
        "other_unit": _other_unit(plan, released=released),
        "attacker": attacker if released else None,
        "nominal_attacker": attacker,
        **_entered(receipt, data=data, released=released),
    }


def other_deltas(noise_multiplier: float, *, delta: float, sample_rate: float, steps: int) -> dict[str, float]:
    """The epsilon of a run, by PLD, at each of DELTAS that is below its `delta`, by the delta as text ("1e-05")."""
    run: dict[str, Any] = {"sample_rate": sample_rate, "steps": steps}
    below = [smaller for smaller in DELTAS if smaller < delta]
    return {f"{smaller:g}": accounting.epsilon(noise_multiplier, delta=smaller, **run) for smaller in below}


def without(
    kind: Literal["unprotected", "untrained"],
    *,
    model: Facts,
    receipt: Receipt | None = None,
    data: Mapping[str, str] | None = None,
    settings: Facts | None = None,
) -> dict[str, Any]:
    """The certificate of a model that saw the private cohort unprotected, or did not see it at all."""
    untrained = kind == "untrained"
    chance = Attack({rate: rate for rate in FALSE_POSITIVE_RATES}, 0.0)
    attacker = _attacker(chance, unit="patient") if untrained else None
    entered = _entered(receipt, data=data or {}, released=False)
    return {
        **_common(model, data=data or {}, settings=settings or {}),
        "protection": UNTRAINED if untrained else UNPROTECTED,
        "epsilon": 0.0 if untrained else None,
        "nominal_epsilon": 0.0 if untrained else None,
        "attacker": attacker,
        "nominal_attacker": attacker,
        **entered,
        "uncovered": [] if untrained else entered["uncovered"],
    }


def engine_sha256() -> str:
    """The SHA-256 over the source files of this package, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def leaves(value: Any) -> dict[str, Any]:
    """Each single value of a certificate by its dotted path, as `covered_by_epsilon`, `keyed`, `uncovered` name it.

    Places in a list count from 0; an empty list or mapping is a value of its own.
    """
    return dict(_leaves(value, ()))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner: Sequence[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inner = [(str(key), held) for key, held in value.items()]
    elif isinstance(value, (list, tuple)):
        inner = [(str(place), held) for place, held in enumerate(value)]
    if not inner:
        yield ".".join(path), value
    for key, held in inner:
        yield from _leaves(held, (*path, key))


def _other_unit(plan: Plan, *, released: bool) -> dict[str, Any]:
    if plan.unit == "patient":
        return {"unit": "record", "epsilon": None, "nominal_epsilon": None, "remark": RECORD_OF_PATIENT}
    images = plan.max_images_per_patient or 1
    reached = accounting.patient_curve(
        plan.noise_multiplier, delta=plan.delta, sample_rate=plan.sample_rate, steps=plan.steps, images=images
    )
    curve = {str(count): value for count, value in sorted(reached.items())}
    return {
        "unit": "patient",
        "images": images,
        "epsilon": reached[images] if released else None,
        "nominal_epsilon": reached[images],
        "curve": curve if released else None,
        "nominal_curve": curve,
        "remark": PATIENT_OF_RECORDS,
    }


def _attacker(bounds: Attack, *, unit: str) -> dict[str, Any]:
    rates = {f"{rate:g}": share for rate, share in sorted(bounds.true_positive_rate.items())}
    return {
        "unit": unit,
        "true_positive_rate": rates,
        "membership_advantage": bounds.membership_advantage,
        "remark": ATTACK,
    }


def _entered(receipt: Receipt | None, *, data: Mapping[str, str], released: bool) -> dict[str, Any]:
    """What the ledger says of the run, and which values depend on private images or keys.

    Of an entry that charges nothing (an unprotected run on a public or drawn cohort) neither head nor total is stated,
    so that such a run repeats byte for byte.
    """
    weights = ["model.weights_sha256"]
    stated: dict[str, Any] = {"cohort_so_far": None, "ledger": None}
    keyed = [f"data.{name}" for name in sorted(data)]
    if receipt is not None:
        infinite = math.isinf(receipt.spent_epsilon)
        charged = released or infinite
        this_run = ("declared" if receipt.declared else "later") if released else "unprotected"
        stated["cohort_so_far"] = {
            "epsilon": "infinite" if infinite else receipt.spent_epsilon if charged else None,
            "delta": receipt.delta if charged else None,
            "unit": receipt.unit if charged else None,
            "this_run": this_run,
            "remark": SO_FAR[this_run],
        }
        stated["ledger"] = {
            "run_id": receipt.run_id,
            "head": receipt.head if charged else None,
            "entry": receipt.entry if charged else None,
        }
        keyed += ["ledger.run_id", *(["ledger.head"] if charged else [])]
    return {
        **stated,
        "covered_by_epsilon": weights if released else [],
        "uncovered": [] if released else weights,
        "keyed": keyed,
    }


def _common(model: Facts, *, data: Mapping[str, str], settings: Facts) -> dict[str, Any]:
    return {
        "certificate": FORMAT,
        "model": dict(model),
        "not_covered": list(NOT_COVERED),
        "data": dict(sorted(data.items())),
        "settings": dict(settings),
        "settings_sha256": settings_sha256(settings),
        "engine_sha256": engine_sha256(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def settings_sha256(settings: Facts) -> str:
    """The SHA-256 of settings as JSON of sorted keys without spaces, in UTF-8; NaN and infinity are refused."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
