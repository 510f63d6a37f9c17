"""Clipped sums equal a loop of autograd in float64, whatever the layers, views and splits."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from privrad.privacy.gradients import OpacusGradients, refuse_unsuited


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean(1)


def network(
    *, seed: int, stride: int = 1, padding: int = 1, groups: int = 1, bias: bool = True, affine: bool = True
) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=stride, padding=padding, groups=groups, bias=bias),
        nn.GroupNorm(2, 4, affine=affine),
        nn.Mish(),
        nn.Conv2d(4, 4, 3, padding=1, dilation=1, bias=bias),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.LayerNorm(16),
        nn.Linear(16, 3),
    ).double()


def inputs(samples: int, *, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 2, 7, 7, dtype=torch.float64, generator=generator)
    return scale * x, torch.randn(samples, 3, dtype=torch.float64, generator=generator)


def by_loop(model: nn.Module, x: Tensor, y: Tensor, *, clip: float, views: int) -> tuple[Tensor, list[Tensor]]:
    """The clipped sum as one vector, and each unit's contribution, one sample at a time."""
    contributions = []
    for start in range(0, len(x), views):
        own = [loss(model(x[i : i + 1]), y[i : i + 1]).sum() for i in range(start, start + views)]
        total = torch.stack(own).mean()
        gradient = torch.cat([part.flatten() for part in torch.autograd.grad(total, list(model.parameters()))])
        norm = gradient.norm()
        contributions.append(gradient * min(1.0, float(clip / norm)) if norm.isfinite() else torch.zeros_like(gradient))
    empty = torch.zeros(sum(value.numel() for value in model.parameters()), dtype=torch.float64)
    return (torch.stack(contributions).sum(0) if contributions else empty), contributions


def summed(
    model: nn.Module, x: Tensor, y: Tensor, *, clip: float, views: int = 1, splits: tuple[int, ...] = ()
) -> Tensor:
    with OpacusGradients(model, loss=loss, clipping_norm=clip, views=views) as gradients:
        ends = sorted({0, len(x), *(min(end * views, len(x)) for end in splits)})
        for start, stop in pairwise(ends):
            gradients.add(x[start:stop], y[start:stop])
        return torch.cat([value.flatten() for value in gradients.take()])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100),
    units=st.integers(0, 6),
    views=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    groups=st.integers(1, 2),
    bias=st.booleans(),
    affine=st.booleans(),
    clip=st.sampled_from([0.05, 1.5, 1e3]),
    splits=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_sums_equal_a_loop(
    seed: int,
    units: int,
    views: int,
    stride: int,
    padding: int,
    groups: int,
    bias: bool,
    affine: bool,
    clip: float,
    splits: tuple[int, int],
) -> None:
    model = network(seed=seed, stride=stride, padding=padding, groups=groups, bias=bias, affine=affine)
    x, y = inputs(units * views, seed=seed)
    expected, contributions = by_loop(model, x, y, clip=clip, views=views)
    found = summed(model, x, y, clip=clip, views=views, splits=splits)
    assert float((found - expected).norm()) <= 1e-6 * max(float(expected.norm()), 1e-12)
    assert all(float(value.norm()) <= clip * (1 + 1e-9) for value in contributions)


def test_a_unit_that_is_not_finite_contributes_zero() -> None:
    model = network(seed=1)
    x, y = inputs(4)
    for bad in (float("nan"), float("inf"), 1e200):
        spoilt = x.clone()
        spoilt[2, 0, 3, 3] = bad
        others = [0, 1, 3] if bad != 1e200 else [0, 1, 2, 3]
        expected, _ = by_loop(model, spoilt[others], y[others], clip=1.0, views=1)
        assert torch.allclose(summed(model, spoilt, y, clip=1.0), expected, rtol=1e-6, atol=1e-9)


def test_an_infinite_gradient_contributes_zero_and_a_huge_one_stays_within_the_clip() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    x, y = torch.randn(3, 4), torch.zeros(3, 2)
    for bad, largest in ((float("inf"), 0.0), (1e25, 1.0)):
        spoilt = y.clone()
        spoilt[1] = bad
        rest, _ = by_loop(model, x[[0, 2]], y[[0, 2]], clip=1.0, views=1)
        left = summed(model, x, spoilt, clip=1.0).double() - rest
        assert float(left.norm()) <= largest + 1e-5


def test_one_bad_view_silences_its_whole_unit() -> None:
    model = network(seed=2)
    x, y = inputs(6)
    spoilt = x.clone()
    spoilt[3] = float("nan")
    expected, _ = by_loop(model, x[[0, 1, 4, 5]], y[[0, 1, 4, 5]], clip=1.0, views=2)
    assert torch.allclose(summed(model, spoilt, y, clip=1.0, views=2), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_unit_exceeds_the_clipping_norm_in_the_precision_that_runs(dtype: torch.dtype) -> None:
    model = network(seed=3).to(dtype)
    for unit in range(20):
        x, y = (value.to(dtype) for value in inputs(1, seed=unit, scale=10.0 ** (unit % 4)))
        norm = summed(model, x, 100 * y, clip=1.5).double().norm()
        assert norm <= 1.5
        assert norm == pytest.approx(1.5, rel=1e-4)


def test_the_views_of_a_unit_are_averaged_before_the_norm() -> None:
    model = network(seed=4)
    x, y = inputs(1)
    repeated = summed(model, x.repeat(3, 1, 1, 1), y.repeat(3, 1), clip=1e6, views=3)
    assert torch.allclose(repeated, summed(model, x, y, clip=1e6), rtol=1e-9)


def test_sums_restart_and_the_model_is_left_as_it_was() -> None:
    model = network(seed=5)
    before = [value.clone() for value in model.parameters()]
    x, y = inputs(3)
    with OpacusGradients(model, loss=loss, clipping_norm=1.0) as gradients:
        gradients.add(x, y)
        first = gradients.take()
        assert all(not bool(value.any()) for value in gradients.take())
        gradients.add(x, y)
        assert all(torch.equal(a, b) for a, b in zip(first, gradients.take(), strict=True))
    assert all(not layer._forward_hooks for layer in model.modules())
    assert all(value.grad is None and not hasattr(value, "grad_sample") for value in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_frozen_parameters_have_no_part_in_the_norm() -> None:
    model = network(seed=6)
    next(model.parameters()).requires_grad_(False)
    x, y = inputs(2)
    with OpacusGradients(model, loss=loss, clipping_norm=0.01) as gradients:
        gradients.add(x[:1], y[:1])
        sums = gradients.take()
    assert len(sums) == len(list(model.parameters())) - 1
    assert torch.cat([value.flatten() for value in sums]).norm() == pytest.approx(0.01, rel=1e-6)


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


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), r"layer 1 \(BatchNorm2d\) mixes .*GroupNorm"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), r"layer 1 \(BatchNorm2d\)"),
        (nn.Sequential(nn.SyncBatchNorm(4)), r"SyncBatchNorm"),
        (nn.Sequential(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), r"layer 0 \(InstanceNorm2d\)"),
        (Counting(), "holds buffer 'seen'"),
        (Tied(), "shares parameter 'weight'"),
        (Scaled(), "no rule for the per-sample gradient of 'scale'"),
        (
            nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")),
            r"layer 0 \(Conv2d\) pads by 'circular'",
        ),
        (nn.Sequential(nn.Bilinear(2, 2, 2)), r"layer 0 \(Bilinear\)"),
        (nn.Sequential(nn.ReLU()), "no trainable parameter"),
    ],
)
def test_unsuited_layers_are_refused_by_name(model: nn.Module, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        refuse_unsuited(model)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clipping_norm_outside_its_range_is_named(clip: float) -> None:
    with pytest.raises(ValueError, match=f"clipping_norm {clip}"):
        OpacusGradients(network(seed=0), loss=loss, clipping_norm=clip)


def test_a_loss_over_the_batch_is_refused() -> None:
    x, y = inputs(3)
    with (
        OpacusGradients(network(seed=0), loss=lambda a, b: loss(a, b).mean(), clipping_norm=1.0) as gradients,
        pytest.raises(ValueError, match=r"loss of shape \(\) must be one number per sample, \(3,\)"),
    ):
        gradients.add(x, y)


def test_units_must_be_whole() -> None:
    x, y = inputs(3)
    with (
        OpacusGradients(network(seed=0), loss=loss, clipping_norm=1.0, views=2) as gradients,
        pytest.raises(ValueError, match="views 2"),
    ):
        gradients.add(x, y)
