"""A network whose per-unit gradients would not be what they seem is refused by name and with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from privrad.models.planes import PlaneConv3d
from privrad.privacy.gradients import Gradients, MixedGradients
from privrad.privacy.reference import OpacusGradients
from privrad.privacy.suited import has_rule, refuse_unsuited
from tests.privacy.loops import squared

ENGINES: list[Callable[..., Gradients]] = [MixedGradients, OpacusGradients]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros(1))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(self.inner(x))
        return out


class OwnConvolution(nn.Conv2d):
    """One that could do anything in its forward pass."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), r"layer 1 \(BatchNorm2d\) mixes .*GroupNorm"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), r"layer 1 \(BatchNorm2d\)"),
        (nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4, affine=False))), r"layer 1\.0 \(BatchNorm1d\)"),
        (nn.Sequential(nn.SyncBatchNorm(4)), "SyncBatchNorm"),
        (nn.Sequential(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), r"layer 0 \(InstanceNorm2d\)"),
        (Counting(), "holds buffer 'seen'.* make it a constant"),
        (Tied(), r"layer second \(Linear\) shares parameter 'weight' with layer first \(Linear\)"),
        (Scaled(), r"layer the model itself \(Scaled\) has no rule .* of 'scale'; build it from Conv1d, .*LayerNorm"),
        (nn.Sequential(OwnConvolution(2, 2, 3)), r"layer 0 \(OwnConvolution\) has no rule"),
        (nn.Sequential(nn.ConvTranspose2d(2, 2, 3)), r"layer 0 \(ConvTranspose2d\) has no rule"),
        (nn.Sequential(nn.Bilinear(2, 2, 2)), r"layer 0 \(Bilinear\)"),
        (
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
            r"layer 0 \(Conv2d\) pads by 'circular'.* 'zeros' alone",
        ),
        (nn.Sequential(nn.ReLU()), "no trainable parameter"),
    ],
)
def test_unsuited_layers_are_refused_by_name(engine: Callable[..., Gradients], model: nn.Module, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        engine(model, loss=squared, clipping_norm=1.0)


def test_frozen_layers_need_no_rule_but_must_not_mix_samples() -> None:
    frozen = nn.Sequential(nn.ConvTranspose2d(2, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match="ConvTranspose2d"):
        refuse_unsuited(frozen)
    frozen[0].requires_grad_(False)
    refuse_unsuited(frozen)
    mixing = nn.Sequential(nn.BatchNorm1d(4).requires_grad_(False), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="BatchNorm1d"):
        refuse_unsuited(mixing)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_compiled_model_is_refused_and_its_own_taken(engine: Callable[..., Gradients]) -> None:
    own = nn.Sequential(nn.Linear(3, 2))
    compiled = cast(nn.Module, torch.compile(own, backend="eager"))
    within = nn.Sequential(compiled)
    called = nn.Sequential(nn.Linear(3, 2))
    called[0].compile(backend="eager")
    for model, named in ((compiled, "the model itself"), (within, "0"), (called, "0")):
        with pytest.raises(ValueError, match=rf"layer {named} \(\w+\) is compiled, .* _orig_mod"):
            engine(model, loss=squared, clipping_norm=1.0)
    with engine(own, loss=squared, clipping_norm=1.0) as opened:
        opened.add(torch.ones(2, 3), torch.zeros(2, 1))


def test_layers_by_planes_have_a_rule_of_privrads_own_alone() -> None:
    model = nn.Sequential(PlaneConv3d(1, 3, 3))
    assert has_rule(model[0])
    refuse_unsuited(model)
    with pytest.raises(ValueError, match=r"layer 0 \(PlaneConv3d\): Opacus has no rule; take clipping: mixed"):
        OpacusGradients(model, loss=squared, clipping_norm=1.0)


def test_a_layer_used_twice_in_a_pass_is_refused_and_leaves_nothing_behind() -> None:
    model = nn.Sequential(Twice(), nn.Linear(3, 2))
    x, y = torch.ones(2, 3), torch.zeros(2, 1)
    with MixedGradients(model, loss=squared, clipping_norm=1.0) as engine:
        with pytest.raises(ValueError, match=r"layer 0\.inner is used twice in one forward pass"):
            engine.add(x, y)
        assert not any(bool(value.any()) for value in engine.take())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clipping_norm_outside_its_range_is_named(engine: Callable[..., Gradients], clip: float) -> None:
    with pytest.raises(ValueError, match=f"clipping_norm {clip} must be above 0"):
        engine(nn.Linear(3, 2), loss=squared, clipping_norm=clip)


@pytest.mark.parametrize("engine", ENGINES)
def test_views_outside_their_range_are_named(engine: Callable[..., Gradients]) -> None:
    with pytest.raises(ValueError, match="views 0 must be at least 1"):
        engine(nn.Linear(3, 2), loss=squared, clipping_norm=1.0, views=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_over_the_batch_is_refused(engine: Callable[..., Gradients]) -> None:
    with (
        engine(nn.Linear(3, 2), loss=lambda a, b: squared(a, b).mean(), clipping_norm=1.0) as opened,
        pytest.raises(ValueError, match=r"loss of shape \(\) must be one number per sample, \(3,\)"),
    ):
        opened.add(torch.ones(3, 3), torch.zeros(3, 1))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("inputs", "targets", "padding", "named"),
    [
        (3, 3, 0, "3 inputs, 3 targets, padding 0: .*multiple of views 2"),
        (4, 2, 0, "4 inputs, 2 targets"),
        (4, 4, 3, "padding 3: .*no more padding than units"),
        (4, 4, -1, "padding -1"),
    ],
)
def test_units_must_be_whole(
    engine: Callable[..., Gradients], inputs: int, targets: int, padding: int, named: str
) -> None:
    with (
        engine(nn.Linear(3, 2), loss=squared, clipping_norm=1.0, views=2) as opened,
        pytest.raises(ValueError, match=named),
    ):
        opened.add(torch.ones(inputs, 3), torch.zeros(targets, 1), padding=padding)
