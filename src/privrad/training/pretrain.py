"""Train on the public cohort, without privacy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from privrad import config, files
from privrad.imaging.shards import open_shards
from privrad.training import checkpoint, data, hashes, loss, ordinary
from privrad.training.lock import locked
from privrad.training.scores import score
from privrad.training.session import computing, hardware
from privrad.training.state import State


def run(
    *,
    shards: Sequence[Path],
    manifest: Path,
    assignment: Path,
    findings: Sequence[str],
    pretraining: config.Pretraining,
    model: config.Model,
    activation: config.Activation,
    seed: int,
    performance: config.Performance,
    work: Path,
    out: Path,
    report: Path,
) -> None:
    """Write the weights of the last epoch, and an account of the training.

    The loss is the binary cross-entropy weighted by the inverse frequencies of the public training split. The account
    holds the loss of each epoch and the AUROC on the validation split, all public. Killed and called again, it goes on
    from its checkpoint in the folder `work`, unless anything that it depends on has changed, and ends in the same bits.
    """
    images = open_shards(shards)
    train = data.load(images, manifest=manifest, assignment=assignment, findings=findings, split="train")
    weights = loss.inverse_frequencies(
        data.tabulate(manifest, assignment, findings=findings, split="train"), findings=findings
    )
    architecture = checkpoint.Architecture.of(model, activation=activation, findings=findings)
    asked = [pretraining.model_dump(), model.model_dump(), activation, findings, seed, weights]
    with locked(work), computing(performance) as device:
        network = architecture.build(seed=seed).to(device)
        state = State(
            work / "state.safetensors",
            owner=hashes.of_training(train, asked=[*asked, hardware(device)], performance=performance),
            minutes=performance.checkpoint_minutes,
            expendable=True,
        )
        losses = ordinary.fit(
            network,
            train,
            findings=findings,
            recipe=pretraining,
            loss=loss.weighted(loss.as_tensor(weights, findings=findings, device=device)),
            seeds=[seed, 1],
            state=state,
            device=device,
            physical_batch=performance.physical_batch,
            what=f"pretraining ({activation})",
        )
        checkpoint.save(out, network, architecture=architecture)
        held_out = data.load(images, manifest=manifest, assignment=assignment, findings=findings, split="validation")
        aurocs = {}
        if len(held_out):
            scores = score(network, held_out, device=device, physical_batch=performance.physical_batch)
            aurocs = _aurocs(held_out, scores, findings)
        account: dict[str, Any] = {
            "activation": activation,
            "recipe": pretraining.model_dump(),
            "optimiser": "NAdam",
            "loss": "binary cross-entropy, mean over findings",
            "positive_weights": weights,
            "loss_by_epoch": losses,
            "training_images": len(train),
            "training_patients": int(train.table["patient_id"].nunique()),
            "validation_images": len(held_out),
            "validation_auroc": aurocs,
            "weights_sha256": files.sha256(out),
        }
        files.write_json(report, account)
        state.delete()


def _aurocs(part: data.Part, scores: Any, findings: Sequence[str]) -> dict[str, float | None]:
    """The AUROC of each finding, None where all labels are alike."""
    from sklearn.metrics import roc_auc_score

    values: dict[str, float | None] = {}
    for place, finding in enumerate(findings):
        labels = part.labels[:, place]
        values[finding] = float(roc_auc_score(labels, scores[:, place])) if len(np.unique(labels)) == 2 else None
    return values
