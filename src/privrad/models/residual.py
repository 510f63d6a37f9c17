"""Residual networks for radiographs, without a bias in any convolution and with GroupNorm throughout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from privrad.models.activations import ACTIVATIONS
from privrad.models.pools import MaxPool2d

BLOCKS = {"resnet9": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


class Block(nn.Module):
    """A basic block: conv3×3-GN-act-conv3×3-GN, added to the skip, then the activation (He et al. 2016).

    The skip is the identity, or where the shape changes a strided 1×1 convolution with GroupNorm.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int, activation: Callable[[], nn.Module]):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.activation = activation()
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.GroupNorm(groups, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm1(self.conv1(x)))
        out: Tensor = self.activation(self.norm2(self.conv2(y)) + self.skip(x))
        return out


class Residual(nn.Module):
    """Stem (7×7 stride 2, GroupNorm, activation, max-pool 3/2), four stages, global average pool, linear head.

    Takes float images [n, channels_in, h, w] and gives one logit per output, [n, outputs].
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        *,
        outputs: int,
        width: int,
        groups: int,
        activation: Callable[[], nn.Module],
        channels_in: int,
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels_in, width, 7, stride=2, padding=3, bias=False),
            nn.GroupNorm(groups, width),
            activation(),
            MaxPool2d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        inputs = width
        for stage, count in enumerate(blocks):
            outputs_here = width * 2**stage
            for block in range(count):
                stride = 2 if stage and not block else 1
                stages.append(Block(inputs, outputs_here, stride=stride, groups=groups, activation=activation))
                inputs = outputs_here
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.stages(self.stem(x)).mean((2, 3)))
        return out


def build(
    network: str, *, outputs: int, width: int, groups: int, activation: str, channels_in: int = 3, seed: int = 0
) -> Residual:
    """A network with fresh weights, which are a function of `seed` alone.

    Convolutions start from He's normal law over their outputs, the head uniformly within 1/√inputs.
    Raises ValueError for a network or activation that is not known, and for groups that do not divide the width.
    """
    if network not in BLOCKS:
        raise ValueError(f"network {network!r} is not known; choose one of {', '.join(BLOCKS)}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} is not known; choose one of {', '.join(ACTIVATIONS)}")
    if groups < 1 or width < 1 or width % groups:
        raise ValueError(f"groups {groups} must divide width {width}; choose a divisor of the width")
    if outputs < 1 or channels_in < 1:
        raise ValueError(f"outputs {outputs} and channels_in {channels_in} must be at least 1")
    with torch.random.fork_rng(devices=[]):
        model = Residual(
            BLOCKS[network],
            outputs=outputs,
            width=width,
            groups=groups,
            activation=ACTIVATIONS[activation],
            channels_in=channels_in,
        )
    _initialise(model, torch.Generator().manual_seed(seed))
    return model


def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.GroupNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
