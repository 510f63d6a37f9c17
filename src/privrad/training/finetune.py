"""Train on the private cohort: one arm, one seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privrad import files
from privrad.models.slabs import is_large
from privrad.privacy import certificate as certificates
from privrad.privacy.ledger import Ledger, Receipt
from privrad.training import checkpoint, loss
from privrad.training import run as runs
from privrad.training.binding import Inputs, Job, bind, training_part
from privrad.training.lock import locked
from privrad.training.planned import charge_of, plan_of
from privrad.training.reserve import repeatable
from privrad.training.run import Run
from privrad.training.session import Group, computing, hardware, together
from privrad.training.state import State
from privrad.training.steps import Session, fit


def run(
    job: Job,
    *,
    inputs: Inputs,
    reservation: Path,
    work: Path,
    key: bytes,
    out: Path,
    report: Path,
    certificate: Path,
) -> None:
    """Write the weights of the last step, an account of the training and the certificate of its privacy.

    The run is the one that `reservation` names. Killed at any moment and called again, it goes on from its checkpoint
    in `work` and ends in the same bits; one for release that has ended is copied, not trained. What depends on private
    images beyond the weights (batch sizes, losses, counts) enters the account only under noise: reproducible. Raises
    ValueError for inputs that are not those reserved or do not fit together, and where the training diverges.
    """
    with together(job.study.performance) as group:
        if not group.first:
            _help(job, inputs, work, group)
            return
        with locked(work):
            mine = _reserved(job, inputs, reservation=reservation, work=work, key=key)
            group.told(None if mine.trained or job.recipe.recipe != "private" else mine.run_id)
            if not mine.trained:
                _train(job, mine, inputs, group)
            if not mine.finished:
                _seal(job, mine, key)
            mine.deliver({"model.safetensors": out, "training.json": report, "certificate.json": certificate})
            if mine.repeatable:
                mine.remove()


def _help(job: Job, inputs: Inputs, work: Path, group: Group) -> None:
    """Take part in the training that the first process leads, where it is one of several processes."""
    run_id: str | None = group.told(None)
    if run_id is not None:
        _train(job, runs.opened(work, run_id), inputs, group)


def _reserved(job: Job, inputs: Inputs, *, reservation: Path, work: Path, key: bytes) -> Run:
    """The run that the reservation names, of these inputs and held by the ledger."""
    run_id, binding = _run_id(reservation, label=job.label), bind(job, inputs=inputs)
    mine = runs.opened(work, run_id) if job.for_release else repeatable(binding, work=work, key=key)
    differing = mine.binding.differences(binding, machinery=not mine.trained)
    if mine.run_id != run_id or differing:
        raise ValueError(
            f"{', '.join(differing) or 'the inputs'} changed since {reservation} was written; delete it, and the "
            "reserve step, run again, says what that costs"
        )
    if job.recipe.recipe != "none" and Ledger(job.study.ledger).holds(run_id) is None:
        raise ValueError(
            f"ledger {job.study.ledger} does not hold run {run_id}, which {reservation} names, so no step is taken; "
            "name the ledger that it was reserved in, or run the reserve step again"
        )
    if job.for_release and not mine.trained:
        cohort = job.settings.cohorts.private.id
        Ledger(job.study.ledger).require(run_id, cohort=cohort, charge=charge_of(job))
    return mine


def _run_id(reservation: Path, *, label: str) -> str:
    try:
        content = json.loads(reservation.read_text(encoding="utf-8"))
        named, run_id = content["label"], str(content["run_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"reservation {reservation} cannot be read ({error}); run the reserve step again") from None
    if named != label:
        raise ValueError(f"reservation {reservation} is for {named}, not for {label}; give this run's own")
    return run_id


def _train(job: Job, mine: Run, inputs: Inputs, group: Group) -> None:
    """Take all steps that are left; the first process then writes weights and account into the run's folder."""
    arm, experiment = job.recipe, job.settings
    weights = loss.positive_weights(
        arm, training=experiment.training, findings=experiment.findings, public=inputs.public
    )
    architecture = checkpoint.Architecture.of(experiment.model, activation=arm.activation, findings=experiment.findings)
    size = experiment.image.size
    large = not isinstance(size, int) and is_large(size)
    with computing(job.study.performance, large=large) as device:
        network = (
            checkpoint.load(inputs.initial, architecture=architecture)
            if inputs.initial
            else architecture.build(seed=job.seed)
        ).to(device)
        found = hardware(device)
        session = Session(
            job=job,
            run=mine,
            part=training_part(job, inputs=inputs),
            loss=loss.weighted(loss.as_tensor(weights, findings=experiment.findings, device=device)),
            state=State(
                mine.state_file,
                owner=f"{mine.run_id} {mine.binding.digest} {found}",
                minutes=job.study.performance.checkpoint_minutes,
                expendable=mine.repeatable,
                writes=group.first,
            ),
            device=device,
            hardware=found,
            group=group,
        )
        if group.first:  # what cannot be stated is not trained
            _certificate(job, mine, {}, receipt=None, key=bytes(32))
        facts = fit(session, network)
        if not group.first:
            return
        checkpoint.save(mine.output("model.safetensors"), network, architecture=architecture)
    account = _account(job, weights, initial=mine.binding.asked["initial weights"])
    account["weights_sha256"] = files.sha256(mine.output("model.safetensors"))
    if experiment.privacy.noise == "reproducible":
        account["seen_of_the_cohort"] = facts
    files.write_json(mine.output("training.json"), account)


def _account(job: Job, weights: Mapping[str, float], *, initial: str) -> dict[str, Any]:
    """What the weights were trained with; less where they were not."""
    arm, experiment = job.recipe, job.settings
    account = {
        "arm": arm.name,
        "seed": job.seed,
        "recipe": arm.recipe,
        "activation": arm.activation,
        "initial_sha256": None if initial == "none" else initial,
    }
    if arm.recipe == "none":
        return account
    settings = experiment.settings(arm)
    recipe = settings["recipe"] if "recipe" in settings else settings["privacy"]
    rate = {} if "recipe" in settings else {"learning_rate": settings["learning_rate"]}
    return account | {
        "optimiser": "NAdam",
        "loss": "binary cross-entropy, mean over findings",
        "positive_weights": dict(weights),
        "settings": rate | recipe,
    }


def _seal(job: Job, mine: Run, key: bytes) -> None:
    """Delete the key, tell the ledger, and write the certificate."""
    account = json.loads(mine.output("training.json").read_text(encoding="utf-8"))
    receipt = None
    mine.forget_key()
    if job.recipe.recipe != "none":
        ledger = Ledger(job.study.ledger)
        ledger.finish(mine.run_id)
        receipt = ledger.holds(mine.run_id)
    facts = {name: account[name] for name in ("initial_sha256", "weights_sha256")}
    files.write_json(mine.output("certificate.json"), _certificate(job, mine, facts, receipt=receipt, key=key))


def _certificate(
    job: Job, mine: Run, weights: Mapping[str, Any], *, receipt: Receipt | None, key: bytes
) -> dict[str, Any]:
    arm, experiment = job.recipe, job.settings
    model = {"arm": arm.name, "seed": job.seed, "recipe": arm.recipe, "network": experiment.model.model_dump()}
    stated: dict[str, Any] = {
        "model": model | dict(weights),
        "receipt": receipt,
        "data": mine.binding.data_hmacs(key),
        "settings": experiment.settings(arm),
    }
    if arm.recipe == "private":
        return certificates.protected(plan_of(arm, privacy=experiment.privacy), **stated)
    return certificates.without("untrained" if arm.recipe == "none" else "unprotected", **stated)
