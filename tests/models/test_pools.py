"""Max-pooling against torch's own, which compares a channel at a time: values, gradients, and the order in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from privrad.models.pools import MaxPool2d, MaxPool3d

PAIRS = [
    (MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(3, stride=2, padding=1), (9, 12)),
    (MaxPool2d(2), nn.MaxPool2d(2), (8, 7)),
    (MaxPool3d(2), nn.MaxPool3d(2), (4, 7, 6)),
]


@pytest.mark.parametrize(("ours", "theirs", "size"), PAIRS)
@pytest.mark.parametrize("levels", [3, 10_000])
def test_values_and_gradients_are_torchs_bit_for_bit_also_where_values_tie(
    ours: nn.Module, theirs: nn.Module, size: tuple[int, ...], levels: int
) -> None:
    generator = torch.Generator().manual_seed(levels)
    x = torch.randint(levels, (2, 5, *size), generator=generator).float()
    target = torch.randn(theirs(x).shape, generator=generator)
    found, expected = (passed(pool, x, target) for pool in (ours, theirs))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(value.is_contiguous() for value in found)


def test_channels_that_come_last_in_memory_stay_last() -> None:
    x = torch.randn(2, 5, 8, 8).contiguous(memory_format=torch.channels_last)
    found = passed(MaxPool2d(2), x, torch.ones(2, 5, 4, 4))
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in found)


def passed(pool: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    out = pool(x)
    return out.detach(), torch.autograd.grad((out * target).sum(), x)[0]
