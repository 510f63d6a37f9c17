"""A network's scores for the images of one split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from privrad.models.pixels import normalise
from privrad.training.data import Part


@torch.no_grad()
def score(model: nn.Module, part: Part, *, device: torch.device, physical_batch: int) -> npt.NDArray[np.float64]:
    """The probability of each finding, [images, findings], by the logistic function in float64."""
    model.eval()
    scores = []
    for start in range(0, len(part), physical_batch):
        positions = np.arange(start, min(start + physical_batch, len(part)))
        logits = model(normalise(part.pixels(positions).to(device)))
        scores.append(torch.sigmoid(logits.cpu().to(torch.float64)).numpy())
    return np.concatenate(scores)
