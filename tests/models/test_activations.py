"""Mish by one exponential function against torch's: value and slope, at every order in memory and at the ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from privrad.models import activations
from privrad.models.activations import Mish

EXACT = torch.float64
ENDS = [0.0, -1.1924, 29.9, 30.1, -30.0, 1e4, -1e4, 1e30, -1e30]


def value_and_slope(layer: object, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    out = layer(x)  # type: ignore[operator]
    return out.detach(), torch.autograd.grad(out, x, g)[0]


@pytest.mark.parametrize("block", [activations.BLOCK, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_slope_are_torchs_to_rounding(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, block: int
) -> None:
    monkeypatch.setattr(activations, "BLOCK", block)
    x = torch.cat([torch.linspace(-100, 100, 200_001, dtype=EXACT), torch.tensor(ENDS, dtype=EXACT)]).to(dtype)
    g = torch.ones_like(x)
    value, slope = value_and_slope(Mish(), x, g)
    expected, expected_slope = value_and_slope(functional.mish, x.to(EXACT), g.to(EXACT))
    eps = torch.finfo(dtype).eps
    assert value.dtype == slope.dtype == dtype
    assert torch.allclose(value.to(EXACT), expected, rtol=8 * eps, atol=1e-35)
    assert torch.allclose(slope.to(EXACT), expected_slope, rtol=0, atol=(8 if dtype == torch.float32 else 64) * eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_order_in_memory_gives_the_same(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    x, g = (3 * torch.randn(3, 4, 5, 6, generator=generator).to(dtype) for _ in range(2))
    expected = value_and_slope(functional.mish, x, g)
    within = x.new_zeros(3, 4, 7, 6)
    within[:, :, 1:6] = x
    for own in (x, x.contiguous(memory_format=torch.channels_last), within[:, :, 1:6]):
        found = value_and_slope(Mish(), own, g)
        assert found[0].is_contiguous(memory_format=torch.channels_last) == (own.stride(1) == 1)
        assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_what_is_not_a_number_stays_so_and_infinity_has_slope_one() -> None:
    x = torch.tensor([torch.inf, torch.nan, 1.0])
    value, slope = value_and_slope(Mish(), x, torch.ones(3))
    assert value[0] == torch.inf
    assert slope[0] == 1
    assert bool(value[1].isnan())
    assert bool(slope[1].isnan())
    assert bool(value[2].isfinite())


def test_without_a_gradient_the_value_has_the_same_bits() -> None:
    x = torch.linspace(-30, 30, 1001)
    assert torch.equal(Mish()(x), Mish()(x.clone().requires_grad_()).detach())
    assert not Mish()(x).requires_grad
