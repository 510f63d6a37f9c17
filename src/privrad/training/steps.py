"""All steps of one fine-tuning, as its arm's recipe says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from privrad import config
from privrad.models.pixels import normalise
from privrad.privacy.gradients import Loss, MixedGradients
from privrad.privacy.ledger import Ledger
from privrad.privacy.mechanism import Mechanism, Ranks, gradients_of
from privrad.privacy.plan import Plan
from privrad.privacy.sampling import Integers
from privrad.progress import track
from privrad.training import data, hashes, ordinary
from privrad.training import run as runs
from privrad.training.binding import Job
from privrad.training.planned import plan_of
from privrad.training.run import Run
from privrad.training.session import Group
from privrad.training.state import State


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one fine-tuning works with; `hardware` says what computes it."""

    job: Job
    run: Run
    part: data.Part
    loss: Loss
    state: State
    device: torch.device
    hardware: str
    group: Group

    @property
    def privacy(self) -> config.Privacy:
        return self.job.settings.privacy

    @property
    def physical_batch(self) -> int:
        return self.job.study.performance.physical_batch


def fit(session: Session, network: nn.Module) -> dict[str, Any]:
    """Train in place as the arm's recipe says; facts about the private images."""
    job, recipe = session.job, session.job.recipe.recipe
    if recipe == "none":
        return {}
    facts: dict[str, Any] = {
        "units": len(session.part.units(session.privacy.unit)),
        "images": len(session.part),
    }
    if recipe == "without_privacy":
        facts["loss_by_epoch"] = ordinary.fit(
            network,
            session.part,
            findings=job.settings.findings,
            recipe=job.settings.training.without_privacy,
            loss=session.loss,
            seeds=[job.study.seed, job.seed, 2],
            state=session.state,
            device=session.device,
            physical_batch=session.physical_batch,
            what=job.arm,
        )
    elif recipe == "matched":
        losses = ordinary.fit_matched(
            network,
            session.part,
            privacy=session.privacy,
            run_key=runs.run_key(session.run.secret(), bound_to=b""),
            learning_rate=job.settings.training.learning_rate,
            loss=session.loss,
            state=session.state,
            device=session.device,
            physical_batch=session.physical_batch,
        )
        facts["loss_by_twentieth"] = [float(part.mean()) for part in np.array_split(losses, min(20, len(losses)))]
    else:
        facts["units_per_batch"] = _fit_private(session, network)
    return facts


def _fit_private(session: Session, network: nn.Module) -> dict[str, float] | None:
    """All steps of the plan that are left, in place; how many units a batch had, where that may be told."""

    def load(positions: Integers) -> tuple[Tensor, Tensor]:
        part, device = session.part, session.device
        return normalise(part.pixels(positions).to(device)), part.targets(positions).to(device)

    plan = plan_of(session.job.recipe, privacy=session.privacy)
    steps = ordinary.optimiser(network, learning_rate=session.job.settings.training.learning_rate)
    start = _started(session, network, plan)
    with gradients_of(network, plan=plan, loss=session.loss, methods=start["methods"]) as gradients:
        mechanism = Mechanism(
            plan=plan,
            run_key=_run_key(session, start),
            gradients=gradients,
            units=session.part.units(plan.unit),
            load=load,
            physical_batch=start["physical_batch"],
            ranks=Ranks(session.group.rank, session.group.world),
        )
        done, _ = session.state.restore(network, steps)
        for step in track(range(done, plan.steps), what=f"{session.job.arm}, steps"):
            for value, gradient in zip(gradients.parameters, mechanism.noisy_mean(step), strict=True):
                value.grad = gradient
            steps.step()
            session.state.keep(step + 1, network, steps)
    return _batch_sizes(mechanism) if plan.noise == "reproducible" else None


def _started(session: Session, network: nn.Module, plan: Plan) -> dict[str, Any]:
    """What the run started with, chosen once and kept: hardware, code, physical batch, and the method of each layer.

    Every process of the group gets the same, and the ledger holds its hash. Raises ValueError where a run for release
    would go on on other hardware or by other code, or was started elsewhere.
    """
    mine, group = session.run, session.group
    here = {"hardware": session.hardware, "code": hashes.sources_sha256("training.finetune")}
    start: dict[str, Any] | None = group.told(mine.start() if group.first else None)
    if start is not None and any(start[name] != found for name, found in here.items()):
        if not mine.repeatable:
            raise ValueError(
                f"run {mine.run_id} was started on {start['hardware']} and would go on on {session.hardware}, or by "
                "other code than then, where its bits would differ; go on there and with that code, or delete "
                f"{mine.folder} and run the reserve step again, which charges a new run"
            )
        start = None
    if start is None:
        chosen = {"physical_batch": session.physical_batch, "methods": _chosen(session, network, plan)}
        start = group.told({**here, **chosen})
        if group.first:
            mine.keep_start(start)
    if group.first and not mine.repeatable:
        Ledger(session.job.study.ledger).start(mine.run_id, start=hashes.of(start))
    return start


def _chosen(session: Session, network: nn.Module, plan: Plan) -> dict[str, str]:
    """The method of each layer for a full physical batch, found on one of black images."""
    shape, part = session.part.images.shape, session.part
    images = max(1, session.physical_batch // plan.views) * plan.views
    inputs = normalise(torch.zeros(images, *shape, dtype=torch.uint8, device=session.device))
    targets = torch.zeros(images, part.labels.shape[1], device=session.device)
    with gradients_of(network, plan=plan, loss=session.loss) as trial:
        trial.add(inputs, targets)
        return dict(trial.methods) if isinstance(trial, MixedGradients) else {}


def _run_key(session: Session, start: dict[str, Any]) -> bytes:
    """The run's key, bound to its inputs, machinery and start where it is for release."""
    mine = session.run
    bound_to = [] if mine.repeatable else [mine.binding.digest, start]
    return runs.run_key(mine.secret(), bound_to=hashlib.sha256(json.dumps(bound_to, sort_keys=True).encode()).digest())


def _batch_sizes(mechanism: Mechanism) -> dict[str, float]:
    sizes = [len(mechanism.batch(step)) for step in range(mechanism.plan.steps)]
    return {"least": min(sizes), "mean": sum(sizes) / len(sizes), "most": max(sizes)}
