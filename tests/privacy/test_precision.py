"""In each precision that runs, no unit contributes more than the clipping norm, and little less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from privrad.models import scale_resnet9, slabs
from privrad.privacy import convolution, layers
from privrad.privacy.convolution import DIRECT, GHOST
from privrad.privacy.gradients import MixedGradients
from privrad.privacy.plan import Precision
from privrad.privacy.reference import OpacusGradients
from tests.privacy.loops import apart, by_loop, by_unit, clipped, flat, squared

METHODS = [*DIRECT, *GHOST]
CLIP = 1.5


def network(*, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.Mish(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(2, 8),
        nn.Mish(),
        nn.Flatten(),
        nn.Linear(8 * 16, 3),
    )


def drawn(samples: int, *, seed: int, channels: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, channels, 8, 8, generator=generator)
    return x, 100 * torch.randn(samples, 1, generator=generator)


def norm_of(engine: MixedGradients | OpacusGradients, x: Tensor, y: Tensor) -> float:
    """The norm, in float64, of what one unit contributes."""
    engine.add(x, y)
    return float(flat(engine.take()).double().norm())


PASSES: list[tuple[torch.dtype, Precision]] = [
    (torch.float32, "float32"),
    (torch.float64, "float32"),
    (torch.float32, "bfloat16"),
]
RUNS = [(method, *each) for method in METHODS for each in PASSES] + [("opacus", *each) for each in PASSES[:2]]


@pytest.mark.parametrize(("method", "dtype", "precision"), RUNS)
@pytest.mark.parametrize("views", [1, 2])
def test_no_unit_exceeds_the_clipping_norm(method: str, dtype: torch.dtype, precision: Precision, views: int) -> None:
    model = network().to(dtype)
    given: dict[str, Any] = {"loss": squared, "clipping_norm": CLIP, "views": views}
    methods = {"0": method, "3": method}
    engine = (
        OpacusGradients(model, **given)
        if method == "opacus"
        else MixedGradients(model, precision=precision, methods=methods, **given)
    )
    with engine:
        for seed in range(10):
            x, y = (value.to(dtype) for value in drawn(views, seed=seed))
            norm = norm_of(engine, 10.0 ** (seed % 4) * x, y)
            assert norm <= CLIP
            assert norm >= CLIP * (1 - 3e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("large", [64, slabs.LARGE_VOLUME])
def test_no_unit_of_volumes_exceeds_the_clipping_norm(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, views: int, large: int
) -> None:
    monkeypatch.setattr(slabs, "LARGE_VOLUME", large)
    monkeypatch.setattr(slabs, "PLANES", 4)
    model = scale_resnet9.build(3, outputs=2, width=4, groups=2)
    generator = torch.Generator().manual_seed(views)
    with MixedGradients(model, loss=squared, clipping_norm=CLIP, views=views, precision=precision) as engine:
        for size in ((9, 10, 11), (11, 9, 8)):
            x = torch.randn(views, 1, *size, generator=generator)
            norm = norm_of(engine, x, torch.full((views, 1), 100.0))
            assert norm <= CLIP
            assert norm >= CLIP * (1 - 3e-3)


def offset_network(*, seed: int) -> nn.Module:
    """A convolution whose input is far from zero and whose gradient sums to zero over the positions."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.GroupNorm(8, 8, affine=False), nn.Flatten(), nn.Mish())


def without_the_error_term(ghost: convolution.Ghost) -> convolution.Ghost:
    return lambda *case: (ghost(*case)[0], torch.zeros(case[3], dtype=torch.float64))


def worst(method: str, *, offset: float) -> float:
    """The largest norm that a unit of the offset network contributes, in terms of the clipping norm."""
    norms = []
    for seed in range(20):
        with MixedGradients(
            offset_network(seed=seed), loss=squared, clipping_norm=CLIP, methods={"0": method}
        ) as engine:
            x, y = drawn(1, seed=seed, channels=4)
            norms.append(norm_of(engine, x + offset, y))
    return max(norms) / CLIP


@pytest.mark.parametrize("offset", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("method", METHODS)
def test_no_unit_exceeds_the_clipping_norm_where_its_ghost_norm_cancels(method: str, offset: float) -> None:
    assert worst(method, offset=offset) <= 1


@pytest.mark.parametrize("method", GHOST)
def test_without_its_error_term_a_ghost_norm_that_cancels_would_exceed(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setitem(convolution.GHOST, method, without_the_error_term(GHOST[method]))
    assert worst(method, offset=1000.0) > 1 + 1e-4


class Along(nn.Module):
    """Normalises each feature along the positions, [n, positions, features]."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


@pytest.mark.parametrize("views", [1, 2])
def test_no_unit_exceeds_the_clipping_norm_where_a_linear_layers_norm_cancels(views: int) -> None:
    for seed in range(40):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(16, 8, bias=False), Along(), nn.Flatten(), nn.Mish())
        x, y = 1000 + torch.randn(views, 5, 16), 100 * torch.randn(views, 1)
        with MixedGradients(model, loss=squared, clipping_norm=CLIP, views=views) as engine:
            assert norm_of(engine, x, y) <= CLIP


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.to(torch.bfloat16).double()

    @staticmethod
    def backward(ctx: object, g: Tensor) -> Tensor:
        return g.to(torch.bfloat16).double()


class Rounded(nn.Module):
    """Rounds to bfloat16 what passes through it, forward and backward."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
        return out


def rounding(model: nn.Sequential) -> nn.Module:
    """The network in float64 that rounds weights, and what its layers give and get, to bfloat16."""
    wide = nn.Sequential(*(part for layer in model.double() for part in (layer, Rounded())))
    for layer in wide:
        if not isinstance(layer, nn.GroupNorm):
            for value in layer.parameters():
                value.data = value.data.to(torch.bfloat16).double()
    return wide


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("views", [1, 2])
def test_sums_in_bfloat16_are_the_float64_sums_of_the_network_that_rounds_so(method: str, views: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.GroupNorm(2, 6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3),
        nn.Flatten(),
        nn.Linear(144, 3),
    )
    x, y = drawn(6, seed=1)
    methods = {"0": method, "3": method}
    found = mixed(model, x, y, views=views, precision="bfloat16", methods=methods)
    assert found.dtype == torch.float32
    assert float((found.to(torch.bfloat16).float() != found).float().mean()) > 0.9
    single = mixed(model, x, y, views=views, precision="float32", methods=methods)
    reference = rounding(model)
    expected = by_loop(reference, x.to(torch.bfloat16).double(), y.double(), clip=CLIP, views=views)
    assert apart(found, expected) < 2e-3
    assert apart(found, expected) < 0.3 * apart(single, expected)


@pytest.mark.parametrize("space", [(5, 6), (3, 5, 6)])
def test_group_norm_of_bfloat16_is_computed_in_float32(space: tuple[int, ...]) -> None:
    layer = nn.GroupNorm(2, 6)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    x, g = (torch.randn(3, 6, *space, generator=generator).add(1).to(torch.bfloat16) for _ in range(2))
    rule = layers.rule_of(layer, name="norm", choose=lambda _: layers.by_count)
    with torch.no_grad():
        out, saved = rule.forward(x)
        at_input, found = rule.backward(saved, g, 3, to_input=True)
    exact = nn.GroupNorm(2, 6).double()
    exact.load_state_dict(layer.state_dict())
    wide = x.double().requires_grad_()
    passed = exact(wide)
    assert torch.allclose(out.double(), passed, rtol=2**-8, atol=1e-5)
    assert at_input is not None
    assert torch.allclose(at_input.double(), torch.autograd.grad(passed, wide, g.double())[0], rtol=2**-8, atol=1e-5)
    for unit, factors in enumerate(torch.eye(3)):
        values = torch.autograd.grad(exact(x[unit : unit + 1].double()), list(exact.parameters()), g[[unit]].double())
        for each, value in zip(found, values, strict=True):
            assert apart(each.weigh(factors, None), value) < 1e-5
            assert float(each.squares[unit]) == pytest.approx(float(value.square().sum()), rel=1e-5)


def mixed(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    views: int,
    precision: Precision,
    methods: Mapping[str, str] | None = None,
) -> Tensor:
    with MixedGradients(
        model, loss=squared, clipping_norm=CLIP, views=views, precision=precision, methods=methods
    ) as engine:
        engine.add(x, y)
        return flat(engine.take())


def test_the_loss_gets_the_precision_of_the_weights() -> None:
    seen = []

    def watched(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(outputs.dtype)
        return squared(outputs, targets)

    with MixedGradients(network(), loss=watched, clipping_norm=CLIP, precision="bfloat16") as engine:
        engine.add(*drawn(2, seed=0))
    assert seen == [torch.float32]


def test_engines_agree_in_float32() -> None:
    model = network()
    x, y = drawn(12, seed=3)
    for views in (1, 3):
        own = by_unit(model.double(), x.double(), y.double(), views=views)
        expected = clipped(own, clip=CLIP, like=model)
        model.float()
        with OpacusGradients(model, loss=squared, clipping_norm=CLIP, views=views) as reference:
            reference.add(x, y)
            slow = flat(reference.take())
        fast = mixed(model, x, y, views=views, precision="float32")
        assert apart(fast, slow) < 1e-5
        assert apart(fast, expected) < 1e-4


def test_the_stated_bound_is_small_and_comes_off_the_clip() -> None:
    for dtype, most in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        with MixedGradients(network().to(dtype), loss=squared, clipping_norm=CLIP) as engine:
            assert 0 < engine.error_bound < most
            assert engine.clip == CLIP / (1 + engine.error_bound)


def test_products_in_tf32_are_off_while_sums_are_made() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    flags = []

    def noted(outputs: Tensor, targets: Tensor) -> Tensor:
        outputs.register_hook(lambda _: flags.append((cudnn.allow_tf32, matmul.allow_tf32)))
        flags.append((cudnn.allow_tf32, matmul.allow_tf32))
        return squared(outputs, targets)

    cudnn.allow_tf32, matmul.allow_tf32 = True, True
    try:
        with MixedGradients(network(), loss=noted, clipping_norm=CLIP) as engine:
            engine.add(*drawn(2, seed=0))
        assert flags == [(False, False)] * 2
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
