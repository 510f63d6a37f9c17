"""Binary cross-entropy, weighted by finding."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

log = logging.getLogger("privrad")


def weighted(positive_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss that takes logits and labels [n, findings] and gives [n]: the mean over findings.

    A positive label counts `positive_weights` times a negative one.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=positive_weights, reduction="none"
        ).mean(1)

    return loss


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
    return torch.from_numpy(np.array([weights[finding] for finding in findings], dtype=np.float32)).to(device)
