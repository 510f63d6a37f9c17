"""Train on the private cohort: one arm, one seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from privrad import config, files
from privrad.imaging.shards import open_shards
from privrad.models.pixels import normalise
from privrad.privacy import certificate as certificates
from privrad.privacy.gradients import Loss, OpacusGradients
from privrad.privacy.mechanism import Mechanism
from privrad.privacy.plan import Plan
from privrad.privacy.sampling import Integers
from privrad.progress import track
from privrad.training import checkpoint, data, loss, ordinary
from privrad.training.session import computing


@dataclass(frozen=True)
class _Job:
    """What one fine-tuning works with."""

    arm: config.Arm
    part: data.Part
    findings: tuple[str, ...]
    privacy: config.Privacy
    training: config.Training
    loss: Loss
    seed: int
    study_seed: int
    device: torch.device
    physical_batch: int
    run_key: bytes = field(repr=False)


def run(
    *,
    arm: config.Arm,
    shards: Sequence[Path],
    manifest: Path,
    assignment: Path,
    findings: Sequence[str],
    public_manifest: Path | None,
    public_assignment: Path | None,
    initial: Path | None,
    privacy: config.Privacy,
    training: config.Training,
    model: config.Model,
    seed: int,
    study_seed: int,
    performance: config.Performance,
    out: Path,
    report: Path,
    certificate: Path,
) -> None:
    """Write the weights of the last step, an account of the training and the certificate of its privacy.

    `initial` are the pretrained weights of the arm's activation, or None to start afresh from the seed. A key under
    noise: release is drawn from the operating system and held in memory alone. What depends on private images beyond
    the weights (batch sizes, losses, counts) enters the account only under noise: reproducible. Raises ValueError for
    settings or files that do not fit together, and where the training diverges.
    """
    weights = _positive_weights(arm, training, findings, public_manifest, public_assignment)
    architecture = checkpoint.Architecture.of(model, activation=arm.activation, findings=findings)
    images = open_shards(shards)
    with computing(performance) as device:
        network = checkpoint.load(initial, architecture=architecture) if initial else architecture.build(seed=seed)
        network = network.to(device)
        job = _Job(
            arm=arm,
            part=data.load(images, manifest=manifest, assignment=assignment, findings=findings, split="train"),
            findings=tuple(findings),
            privacy=privacy,
            training=training,
            loss=loss.weighted(loss.as_tensor(weights, findings=findings, device=device)),
            seed=seed,
            study_seed=study_seed,
            device=device,
            physical_batch=performance.physical_batch,
            run_key=_run_key(arm, privacy, seed=seed, study_seed=study_seed),
        )
        plan = _plan(job) if arm.recipe == "private" else None
        facts_of_model = {"arm": arm.name, "seed": seed, "recipe": arm.recipe, "network": model.model_dump()}
        statement = _certificate(arm, plan, facts_of_model)
        facts = _train(job, network, plan)
        checkpoint.save(out, network, architecture=architecture)
    account: dict[str, Any] = {
        "arm": arm.name,
        "seed": seed,
        "recipe": arm.recipe,
        "activation": arm.activation,
        "initial_sha256": files.sha256(initial) if initial else None,
        "weights_sha256": files.sha256(out),
        **_settings(job, weights),
    }
    if privacy.noise == "reproducible":
        account["seen_of_the_cohort"] = facts
    files.write_json(report, account)
    statement["model"] |= {key: account[key] for key in ("initial_sha256", "weights_sha256")}
    files.write_json(certificate, statement)


def _train(job: _Job, network: nn.Module, plan: Plan | None) -> dict[str, Any]:
    """Train in place, by its plan where the run is private; facts about the private images."""
    units = len(job.part.units(job.privacy.unit))
    facts: dict[str, Any] = {"units": units, "images": len(job.part)}
    if job.arm.recipe == "none":
        return {}
    if job.arm.recipe == "without_privacy":
        facts["loss_by_epoch"] = ordinary.fit(
            network,
            job.part,
            findings=job.findings,
            recipe=job.training.without_privacy,
            loss=job.loss,
            generator=np.random.default_rng([job.study_seed, job.seed, 2]),
            device=job.device,
            physical_batch=job.physical_batch,
            what=job.arm.name,
        )
    elif plan is None:
        losses = ordinary.fit_matched(
            network,
            job.part,
            privacy=job.privacy,
            run_key=job.run_key,
            learning_rate=job.training.learning_rate,
            loss=job.loss,
            device=job.device,
            physical_batch=job.physical_batch,
        )
        facts["loss_by_twentieth"] = [float(part.mean()) for part in np.array_split(losses, min(20, len(losses)))]
    else:
        sizes = _fit_private(job, network, plan)
        facts["units_per_batch"] = {"least": min(sizes), "mean": sum(sizes) / len(sizes), "most": max(sizes)}
    return facts


def _fit_private(job: _Job, network: nn.Module, plan: Plan) -> list[int]:
    """All steps of the plan, in place; the number of units in each."""

    def load(positions: Integers) -> tuple[Tensor, Tensor]:
        return normalise(job.part.pixels(positions).to(job.device)), job.part.targets(positions).to(job.device)

    steps = ordinary.optimiser(network, learning_rate=job.training.learning_rate)
    units = job.part.units(plan.unit)
    sizes = []
    with OpacusGradients(network, loss=job.loss, clipping_norm=plan.clipping_norm, views=plan.views) as gradients:
        mechanism = Mechanism(
            plan=plan,
            run_key=job.run_key,
            gradients=gradients,
            units=units,
            load=load,
            physical_batch=job.physical_batch,
        )
        for step in track(range(plan.steps), what=f"{job.arm.name}, steps"):
            for value, gradient in zip(gradients.parameters, mechanism.noisy_mean(step), strict=True):
                value.grad = gradient
            steps.step()
            sizes.append(len(mechanism.batch(step)))
    return sizes


def _plan(job: _Job) -> Plan:
    """The plan of a private run; ValueError where a patient has more images than a record-level plan declares."""
    plan = Plan.calibrated(epsilon=job.arm.epsilon, **job.privacy.model_dump(exclude={"clipping"}))
    if plan.unit == "record" and plan.max_images_per_patient is not None:
        most = max(len(positions) for positions in job.part.units("patient"))
        if most > plan.max_images_per_patient:
            raise ValueError(
                f"max_images_per_patient {plan.max_images_per_patient} is below what a training patient has; "
                "raise it to a bound that holds, or take unit: patient"
            )
    return plan


def _run_key(arm: config.Arm, privacy: config.Privacy, *, seed: int, study_seed: int) -> bytes:
    """The key of a run's batches, views and noise: from the operating system where a private run may be released."""
    if arm.recipe == "private" and privacy.noise == "release":
        return os.urandom(32)
    text = json.dumps(["privrad run", study_seed, arm.name, seed, _relevant(arm, privacy)])
    return hashlib.sha256(text.encode()).digest()


def _relevant(arm: config.Arm, privacy: config.Privacy) -> dict[str, Any]:
    """The settings of `privacy` that the weights of an arm depend on."""
    return privacy.model_dump(exclude=config.OF_GUARANTEE if arm.recipe == "matched" else None)


def _positive_weights(
    arm: config.Arm, training: config.Training, findings: Sequence[str], manifest: Path | None, assignment: Path | None
) -> dict[str, float]:
    """Weights of positive labels: constants of the study, or frequencies of the public training split."""
    chosen = "none" if arm.recipe == "none" else training.positive_weights
    if chosen == "none":
        return dict.fromkeys(findings, 1.0)
    if isinstance(chosen, dict):
        missing = sorted(set(findings) - set(chosen))
        if missing:
            raise ValueError(f"training.positive_weights lacks {', '.join(missing)}; give a weight for each finding")
        return {finding: chosen[finding] for finding in findings}
    if manifest is None or assignment is None:
        raise ValueError(
            "training.positive_weights public needs the public manifest and its split; give both, or constants"
        )
    return loss.inverse_frequencies(
        data.tabulate(manifest, assignment, findings=findings, split="train"), findings=findings
    )


def _settings(job: _Job, weights: Mapping[str, float]) -> dict[str, Any]:
    """What the weights were trained with; nothing where they were not."""
    if job.arm.recipe == "none":
        return {}
    settings = {"learning_rate": job.training.learning_rate, **_relevant(job.arm, job.privacy)}
    return {
        "optimiser": "NAdam",
        "loss": "binary cross-entropy, mean over findings",
        "positive_weights": dict(weights),
        "settings": job.training.without_privacy.model_dump() if job.arm.recipe == "without_privacy" else settings,
    }


def _certificate(arm: config.Arm, plan: Plan | None, model: dict[str, Any]) -> dict[str, Any]:
    if plan is not None:
        return certificates.protected(plan, model=model)
    return certificates.without("untrained" if arm.recipe == "none" else "unprotected", model=model)
