"""What a certificate states, recomputed from its own numbers and the files beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

from privrad.privacy import accounting
from privrad.verify.read import RELATIVE, Statement, Training, architecture, content, file_hash

WEIGHTS = "model.weights_sha256"
OF_PLAN = ("unit", "population", "expected_batch", "steps", "delta", "clipping_norm", "clipping", "precision", "views")
RELEASED = ("differential privacy", "drawn from the operating system; key file deleted")
SEEDED = ("seeded noise", "derived from the seed")
OF_EACH = {"certificate", "model", "not_covered", "data", "settings", "settings_sha256", "engine_sha256", "versions"}
OF_EACH |= {"protection", "epsilon", "nominal_epsilon", "attacker", "nominal_attacker", "cohort_so_far", "ledger"}
OF_EACH |= {"covered_by_epsilon", "uncovered", "keyed"}
OF_PRIVATE = {*OF_PLAN, "noise", "noise_multiplier", "sample_rate", "sampling", "neighbouring_relation", "key"}
OF_PRIVATE |= {"target_epsilon", "accountants", "other_unit"}
OTHER_DELTAS = {"1e-05": 1e-5, "1e-06": 1e-6}
SINCE_3 = {"other_deltas", "nominal_other_deltas"}
"""What certificates of format 2 do not have."""


def _fields(training: Training) -> Iterator[Statement]:
    """Nothing is left out, and nothing stands there that nobody checks."""
    expected = OF_EACH | (OF_PRIVATE if training.kind == "private" else set())
    expected |= SINCE_3 if training.kind == "private" and _stated_since_3(training) else set()
    yield "fields", sorted(training.certificate), sorted(expected)


def _stated_since_3(training: Training) -> bool:
    return bool(training.certificate["certificate"] >= 3)


def _place(training: Training) -> Iterator[Statement]:
    """The certificate speaks of the training in whose folder it lies."""
    model = training.certificate["model"]
    if training.place is not None:
        yield "model.arm", model["arm"], training.place[2]
        yield "model.seed", f"seed-{model['seed']}", training.place[3]
    account = training.folder / "training.json"
    if account.exists() or training.place is not None:
        said = content(account)
        for name in ("arm", "seed", "recipe", "initial_sha256", "weights_sha256"):
            yield f"model.{name}, as in training.json", model[name], said[name]


def _weights(training: Training) -> Iterator[Statement]:
    """The certificate speaks of the weights beside it."""
    model, path = training.certificate["model"], training.folder / "model.safetensors"
    yield WEIGHTS, model["weights_sha256"], file_hash(path)
    header = architecture(path)
    for name, value in model["network"].items():
        yield f"model.network.{name}, as in model.safetensors", value, header[name]


def _settings(training: Training) -> Iterator[Statement]:
    """The settings are those that their hash is of."""
    held = training.certificate["settings"]
    text = json.dumps(held, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    yield "settings_sha256", training.certificate["settings_sha256"], hashlib.sha256(text.encode()).hexdigest()


def _tags(training: Training) -> Iterator[Statement]:
    """Only what may depend on private images is said to, and what does is."""
    held = training.certificate
    kind, released = training.kind, training.released
    yield "covered_by_epsilon", held["covered_by_epsilon"], [WEIGHTS] if released else []
    yield "uncovered", held["uncovered"], [] if released or kind == "untrained" else [WEIGHTS]
    entered = held["ledger"] or {}
    keyed = [f"data.{name}" for name in sorted(held["data"])]
    keyed += [f"ledger.{name}" for name in ("run_id", "head") if entered.get(name) is not None]
    yield "keyed", held["keyed"], keyed
    yield "not_covered names validation and test", "validation and test" in " ".join(held["not_covered"]), True


def _plan(training: Training) -> Iterator[Statement]:
    """The plan is coherent and as the settings ask for."""
    held = training.certificate
    asked = held["settings"]["privacy"]
    for name in (*OF_PLAN, "noise"):
        yield f"{name}, as in settings", held[name], asked[name]
    yield "sample_rate = expected_batch / population", held["sample_rate"], held["expected_batch"] / held["population"]
    yield "delta below 1/population", held["delta"] < 1 / held["population"], True
    yield "sampling", held["sampling"], "poisson"
    yield "neighbouring_relation", held["neighbouring_relation"], "add_or_remove_one"
    yield "noise is release or reproducible", held["noise"] in ("release", "reproducible"), True
    protection, key = RELEASED if training.released else SEEDED
    yield "protection", held["protection"].split(":")[0], protection
    yield "key", held["key"], key
    if training.place is not None:
        yield "target_epsilon, as the arm is named", f"eps-{held['target_epsilon']:g}", training.place[2]


def _epsilon(training: Training) -> Iterator[Statement]:
    """Epsilon follows from noise, rate, steps and delta, by each accountant."""
    held = training.certificate
    terms = {**training.run, "delta": held["delta"]}
    noise = terms.pop("noise_multiplier")
    pld = accounting.epsilon(noise, **terms)
    yield "nominal_epsilon", held["nominal_epsilon"], pld
    yield "epsilon", held["epsilon"], pld if training.released else None
    yield "epsilon within its target", held["nominal_epsilon"] <= held["target_epsilon"], True
    yield "accountants.pld", held["accountants"]["pld"], pld
    yield "accountants.rdp", held["accountants"]["rdp"], accounting.rdp_epsilon(noise, **terms)
    yield "accountants.prv", held["accountants"]["prv"], accounting.prv_epsilon(noise, **terms)


def _other_deltas(training: Training) -> Iterator[Statement]:
    """Epsilon at smaller deltas follows from the same noise, rate and steps."""
    held = training.certificate
    if not _stated_since_3(training):
        return
    run = dict(training.run)
    noise = run.pop("noise_multiplier")
    below = {name: delta for name, delta in OTHER_DELTAS.items() if delta < held["delta"]}
    found = {name: accounting.epsilon(noise, delta=delta, **run) for name, delta in below.items()}
    yield "nominal_other_deltas", held["nominal_other_deltas"], found
    yield "other_deltas", held["other_deltas"], found if training.released else None


def _other_unit(training: Training) -> Iterator[Statement]:
    """The epsilon of the other unit: a patient's follows from its most images, a record's of a patient is not known."""
    held, other = training.certificate, training.certificate["other_unit"]
    if held["unit"] == "patient":
        yield "other_unit", [other["unit"], other["epsilon"], other["nominal_epsilon"]], ["record", None, None]
        return
    images = held["settings"]["privacy"]["max_images_per_patient"]
    yield "other_unit.unit", other["unit"], "patient"
    yield "other_unit.images, as in settings", other["images"], images
    run = {"delta": held["delta"], "sample_rate": held["sample_rate"], "steps": held["steps"]}
    reached = accounting.patient_curve(held["noise_multiplier"], images=images, **run)
    curve = {str(count): epsilon for count, epsilon in reached.items()}
    for name, found in (("epsilon", reached[images]), ("curve", curve)):
        yield f"other_unit.nominal_{name}", other[f"nominal_{name}"], found
        yield f"other_unit.{name}", other[name], found if training.released else None


def _attacker(training: Training) -> Iterator[Statement]:
    """The bounds on an attacker follow from the same numbers, and none is below chance."""
    held = training.certificate
    bound = accounting.attack(accounting.Run(**training.run))
    rates = {f"{rate:g}": share for rate, share in bound.true_positive_rate.items()}
    said = held["nominal_attacker"]
    yield "nominal_attacker.unit", said["unit"], held["unit"]
    yield "nominal_attacker.true_positive_rate", said["true_positive_rate"], rates
    yield "nominal_attacker.membership_advantage", said["membership_advantage"], bound.membership_advantage
    yield "attacker", held["attacker"], said if training.released else None


def _entered(training: Training) -> Iterator[Statement]:
    """A released run names its entry, and the cohort's total is not below its own epsilon."""
    held = training.certificate
    yield "ledger names the run", held["ledger"] is not None and bool(held["ledger"]["run_id"]), True
    so_far = held["cohort_so_far"]
    if not training.released:
        yield "cohort_so_far.this_run", so_far["this_run"], "unprotected"
        if held["ledger"]["head"] is None:
            total = [held["ledger"]["entry"], so_far["epsilon"], so_far["delta"], so_far["unit"]]
            yield "no entry and no total without a head", total, [None] * 4
        return
    yield "ledger names a head", bool(held["ledger"]["head"]), True
    if so_far["epsilon"] != "infinite":
        images = held["other_unit"]["images"] if so_far["unit"] != held["unit"] else 1
        own = accounting.compose([accounting.Run(**training.run, images=images)], delta=so_far["delta"])
        yield "cohort_so_far at least this run", so_far["epsilon"] >= own * (1 - RELATIVE), True


def _unprotected(training: Training) -> Iterator[Statement]:
    """Nothing is promised of a model without protection."""
    held = training.certificate
    for name in ("epsilon", "nominal_epsilon", "attacker", "nominal_attacker"):
        yield name, held[name], None
    yield "protection", held["protection"].split(":")[0], "unprotected"


def _untrained(training: Training) -> Iterator[Statement]:
    """The weights are those before fine-tuning, so that epsilon is 0 and nobody can be recognised."""
    held, model = training.certificate, training.certificate["model"]
    yield "epsilon", [held["epsilon"], held["nominal_epsilon"]], [0.0, 0.0]
    yield "ledger and cohort_so_far", [held["ledger"], held["cohort_so_far"]], [None, None]
    yield "protection", held["protection"], "nothing learned from the private cohort"
    if model["initial_sha256"] is not None:
        yield "weights as before fine-tuning", model["weights_sha256"], model["initial_sha256"]
    for attacker in (held["attacker"], held["nominal_attacker"]):
        rates = {name: float(name) for name in attacker["true_positive_rate"]}
        yield "attacker.unit", attacker["unit"], "patient"
        yield "attacker.true_positive_rate", attacker["true_positive_rate"], rates
        yield "attacker.membership_advantage", attacker["membership_advantage"], 0.0


COMMON: tuple[Callable[[Training], Iterator[Statement]], ...] = (_fields, _place, _weights, _settings, _tags)
BY_KIND: dict[str, tuple[Callable[[Training], Iterator[Statement]], ...]] = {
    "private": (_plan, _epsilon, _other_deltas, _other_unit, _attacker, _entered),
    "unprotected": (_unprotected, _entered),
    "untrained": (_untrained,),
}
