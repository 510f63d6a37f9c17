"""Binary cross-entropy, weighted by finding."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from privrad import config
from privrad.training import data

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Loss: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
log = logging.getLogger("privrad")


def weighted(positive_weights: Tensor) -> Loss:
    """A loss that takes logits and labels [n, findings] and gives [n]: the mean over findings.

    A positive label counts `positive_weights` times a negative one.
    """
    from torch.nn import functional

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=positive_weights, reduction="none"
        ).mean(1)

    return loss


def positive_weights(
    arm: config.Arm, *, training: config.Training, findings: Sequence[str], public: tuple[Path, Path] | None
) -> dict[str, float]:
    """The weight of a positive label of each finding: constants of the study, or from the public training split.

    `public` are the public manifest and its split. Raises ValueError where they are needed and not given, and for a
    finding without a constant.
    """
    chosen = "none" if arm.recipe == "none" else training.positive_weights
    if chosen == "none":
        return dict.fromkeys(findings, 1.0)
    if isinstance(chosen, dict):
        missing = sorted(set(findings) - set(chosen))
        if missing:
            raise ValueError(f"training.positive_weights lacks {', '.join(missing)}; give a weight for each finding")
        return {finding: chosen[finding] for finding in findings}
    if public is None:
        raise ValueError(
            "training.positive_weights public needs the public manifest and its split; give both, or constants"
        )
    return inverse_frequencies(data.tabulate(*public, findings=findings, split="train"), findings=findings)


def inverse_frequencies(table: pd.DataFrame, *, findings: Sequence[str]) -> dict[str, float]:
    """Negatives over positives of each finding; 1 for a finding that is never or always present."""
    weights = {}
    for finding in findings:
        positive = int(table[finding].sum())
        negative = len(table) - positive
        if not positive or not negative:
            log.warning(
                "finding %s is %s in the public training split: its weight is 1",
                finding,
                "always" if positive else "never",
            )
        weights[finding] = negative / positive if positive and negative else 1.0
    return weights


def as_tensor(weights: Mapping[str, float], *, findings: Sequence[str], device: torch.device) -> Tensor:
    """The weights in the order of the findings, float32."""
    import torch

    return torch.from_numpy(np.array([weights[finding] for finding in findings], dtype=np.float32)).to(device)
