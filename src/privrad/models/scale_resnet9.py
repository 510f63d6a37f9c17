"""The paper's network for CT, in three dimensions by planes or in two, with GroupNorm after every 3×3 convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from privrad.models.activations import ACTIVATIONS
from privrad.models.planes import PlaneConv3d
from privrad.models.pools import MaxPool2d, MaxPool3d
from privrad.models.slabs import by_slabs, is_large

Dimensions = Literal[2, 3]
CHANNELS = 3


class Pair(nn.Module):
    """Two convolutions with GroupNorm and activation, added to their input, and GroupNorm after the addition."""

    def __init__(self, first: nn.Module, second: nn.Module, norm: nn.Module):
        super().__init__()
        self.first, self.second, self.norm = first, second, norm

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.second(self.first(x)) + x)
        return out


class Halves(nn.Module):
    """The largest value in each half of every spatial axis, [n, channels, 2, 2(, 2)]: adaptive max-pooling to 2.

    The halves of an odd axis share its middle. Its backward pass repeats bit for bit on every device.
    """

    def forward(self, x: Tensor) -> Tensor:
        for axis in range(2, x.ndim):
            size = x.shape[axis]
            half = (size + 1) // 2
            halves = [x.narrow(axis, start, half).amax(axis, keepdim=True) for start in (0, size - half)]
            x = torch.cat(halves, dim=axis)
        return x


class Tail(nn.Sequential):
    """Layers without parameters behind a block's GroupNorm: its activation, and where it ends in one a max-pool.

    They work on large volumes a few planes at a time and compute again what the backward pass needs, so that their
    input is all that is kept. The numbers are the same but for their last bits.
    """

    def forward(self, x: Tensor) -> Tensor:
        layers = cast(Callable[[Tensor], Tensor], super().forward)
        return by_slabs(layers, x) if is_large(x.shape[2:]) else layers(x)


class ScaleResNet9(nn.Module):
    """Eight 3×3 convolutions in four plain blocks and two residual pairs, three max-pools, adaptive max-pool, linear.

    In two dimensions it takes float images [n, 3, h, w]; in three, volumes [n, 1, d, h, w], which a 1×1 convolution
    gives three channels. Each spatial axis must be 8 or longer. Gives one logit per output, [n, outputs]. For large
    volumes the backward pass computes each block again, bit for bit, in place of keeping what it computed.
    """

    def __init__(
        self,
        dimensions: Dimensions,
        *,
        outputs: int,
        width: int,
        groups: int,
        activation: Callable[[], nn.Module],
    ):
        super().__init__()
        convolution, pool = (_flat, MaxPool2d) if dimensions == 2 else (_planes, MaxPool3d)

        def block(inputs: int, outputs: int, *pools: nn.Module) -> nn.Sequential:
            return nn.Sequential(
                convolution(inputs, outputs), nn.GroupNorm(groups, outputs), Tail(activation(), *pools)
            )

        def pair(channels: int) -> Pair:
            return Pair(block(channels, channels), block(channels, channels), nn.GroupNorm(groups, channels))

        self.front = nn.Conv3d(1, CHANNELS, 1, bias=False) if dimensions == 3 else nn.Identity()
        self.body = nn.Sequential(
            block(CHANNELS, width),
            nn.Sequential(block(width, 2 * width, pool(2))),
            pair(2 * width),
            nn.Sequential(block(2 * width, 4 * width, pool(2))),
            nn.Sequential(block(4 * width, 4 * width, pool(2))),
            pair(4 * width),
        )
        self.pool = Halves()
        self.head = nn.Linear(4 * width * 2**dimensions, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        again = is_large(x.shape[2:]) and torch.is_grad_enabled()
        for part in self.body:
            x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False) if again else part(x)
        out: Tensor = self.head(self.pool(x).flatten(1))
        return out


def build(
    dimensions: Dimensions, *, outputs: int, width: int = 64, groups: int = 32, activation: str = "mish", seed: int = 0
) -> ScaleResNet9:
    """A network with fresh weights, which are a function of `seed` alone and, but for the head, of no dimension.

    Convolutions start from He's normal law over their outputs, the one in front of a volume at ones, the head
    uniformly within 1/√inputs. Raises ValueError for dimensions other than 2 and 3, an activation that is not known,
    and groups that do not divide the width.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions {dimensions} must be 2 or 3")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} is not known; choose one of {', '.join(ACTIVATIONS)}")
    if groups < 1 or width < CHANNELS or width % groups:
        raise ValueError(
            f"groups {groups} must divide width {width}, which must be at least {CHANNELS}; "
            "choose a divisor of the width"
        )
    if outputs < 1:
        raise ValueError(f"outputs {outputs} must be at least 1")
    with torch.random.fork_rng(devices=[]):
        model = ScaleResNet9(
            dimensions, outputs=outputs, width=width, groups=groups, activation=ACTIVATIONS[activation]
        )
    _initialise(model, torch.Generator().manual_seed(seed))
    return model


def in_three_dimensions(weights: Mapping[str, Tensor], model: ScaleResNet9) -> None:
    """Give a network for volumes the weights of one for images, tensor by tensor, but for its front and its head.

    Raises ValueError where a tensor of the body is missing or has another shape.
    """
    own = model.body.state_dict()
    given = {name.removeprefix("body."): value for name, value in weights.items() if name.startswith("body.")}
    odd = sorted(
        name
        for name in own.keys() | given.keys()
        if name not in own or name not in given or own[name].shape != given[name].shape
    )
    if odd:
        raise ValueError(f"weights body.{odd[0]} do not fit this network; give those of one of the same width")
    model.body.load_state_dict(given)


def _flat(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _planes(inputs: int, outputs: int) -> nn.Module:
    return PlaneConv3d(inputs, outputs, 3)


def _initialise(model: ScaleResNet9, generator: torch.Generator) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | PlaneConv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Conv3d):
            nn.init.ones_(layer.weight)
        elif isinstance(layer, nn.GroupNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
