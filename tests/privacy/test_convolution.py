"""Every method gives each unit's gradient at a convolution's weight, or its norm and an honest bound on the error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from privrad.privacy import convolution
from privrad.privacy.convolution import DIRECT, GHOST, Convolution, contract
from privrad.privacy.layers import by_count, by_time

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A convolution and the shape of its input [units · views, in, *space]."""

    conv: Convolution
    space: tuple[int, ...]
    units: int = 3
    views: int = 1

    @property
    def inputs(self) -> int:
        return self.conv.shape[1] * self.conv.groups

    def draw(self, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """An input and a gradient at the output."""
        generator = torch.Generator().manual_seed(seed)
        samples, conv = self.units * self.views, self.conv
        axes = zip(self.space, conv.padding, conv.dilation, conv.kernel, conv.stride, strict=True)
        out = [(size + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for size, pad, dilation, k, stride in axes]
        x = torch.randn(samples, self.inputs, *self.space, generator=generator, dtype=dtype)
        return x, torch.randn(samples, conv.shape[0], *out, generator=generator, dtype=dtype)


def case(
    shape: tuple[int, ...],
    space: tuple[int, ...],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    units: int = 3,
    views: int = 1,
) -> Case:
    each = len(space)
    conv = Convolution(torch.Size(shape), (stride,) * each, (padding,) * each, (1,) * each, groups)
    return Case(conv=conv, space=space, units=units, views=views)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Convolutions of one to three dimensions, with other numbers along each axis."""
    axes = draw(st.integers(1, 3))

    def along(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))

    kernel, stride, padding, dilation, more = along(1, 3), along(1, 3), along(0, 2), along(1, 2), along(0, 4)
    groups, inputs, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    shape = torch.Size((groups * outputs, inputs, *kernel))
    needed = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    space = tuple(max(1, least) + extra for least, extra in zip(needed, more, strict=True))
    conv = Convolution(shape, stride, padding, dilation, groups)
    return Case(conv=conv, space=space, units=draw(st.integers(1, 3)), views=draw(st.integers(1, 3)))


def by_autograd(conv: Convolution, x: Tensor, g: Tensor, units: int) -> Tensor:
    """Each unit's gradient [units, *shape], by torch.autograd of the ordinary convolution."""
    found = []
    for own, gradient in zip(x.chunk(units), g.chunk(units), strict=True):
        weight = torch.zeros(conv.shape, dtype=x.dtype, requires_grad=True)
        place = (conv.stride, conv.padding, conv.dilation, conv.groups)
        out = CONVOLVE[len(conv.kernel)](own, weight, None, *place)
        found.append(torch.autograd.grad(out, weight, gradient)[0])
    return torch.stack(found)


def check_all(one: Case, x: Tensor, g: Tensor) -> None:
    expected = by_autograd(one.conv, x, g, one.units)
    largest = float(expected.abs().max()) + 1e-9
    for name, direct in DIRECT.items():
        found = direct(one.conv, x, g, one.units)
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, rtol=0, atol=1e-12 * largest), name
    true = expected.flatten(1).square().sum(1)
    for name, ghost in GHOST.items():
        square, error = ghost(one.conv, x, g, one.units)
        assert square.shape == error.shape == (one.units,)
        assert torch.allclose(square, true, rtol=1e-9, atol=1e-9 * largest**2), name
        assert bool(((square - true).abs() <= error + 1e-300).all()), name


@settings(max_examples=150, deadline=None)
@given(one=cases(), seed=st.integers(0, 1000))
def test_every_method_equals_autograd(one: Case, seed: int) -> None:
    check_all(one, *one.draw(seed=seed))


@pytest.mark.parametrize("units", [16, 17, 35])
def test_units_beyond_one_pass_are_all_there(units: int) -> None:
    one = case((2, 1, 3, 3), (5, 4), stride=2, padding=1, groups=2, units=units, views=2)
    check_all(one, *one.draw())


def test_patches_laid_out_in_many_chunks_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    one = case((2, 2, 3, 3), (5, 5), padding=1, units=7, views=2)
    x, g = one.draw()
    chunks = convolution._chunks(one.conv, x, g, 7)
    assert chunks == [(0, 7)]
    monkeypatch.setitem(convolution.PATCH_BYTES, "cpu", 3 * 2 * 2 * 9 * 25 * 8)
    assert convolution._chunks(one.conv, x, g, 7) == [(0, 3), (3, 6), (6, 7)]
    check_all(one, x, g)


def test_the_order_in_memory_changes_nothing() -> None:
    one = case((4, 3, 3, 3), (6, 5), stride=2, padding=1, views=2)
    x, g = one.draw()
    check_all(one, x.to(memory_format=torch.channels_last), g.to(memory_format=torch.channels_last))
    check_all(one, x[:, :1].expand_as(x), g)
    check_all(one, x.transpose(2, 3).contiguous().transpose(2, 3), g[:, :1, :1, :1].expand_as(g))
    larger = torch.cat([x, x])[len(x) // 2 : len(x) // 2 + len(x)]
    check_all(one, larger, torch.cat([g, g])[len(g) // 2 : len(g) // 2 + len(g)])


def offset_case(seed: int, offset: float) -> tuple[Case, Tensor, Tensor]:
    """Activations around `offset` and a gradient whose mean is zero, as behind a normalisation: its norms cancel."""
    one = case((8, 4, 1, 1), (6, 6), units=4)
    x, g = one.draw(seed=seed, dtype=torch.float32)
    return one, x + offset, g - g.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("name", GHOST)
def test_a_norm_that_cancels_is_wrong_by_no_more_than_the_stated_error(name: str) -> None:
    below, furthest = 0, 0.0
    for seed in range(40):
        one, x, g = offset_case(seed, (10.0, 100.0, 1000.0)[seed % 3])
        square, error = GHOST[name](one.conv, x, g, one.units)
        true = by_autograd(one.conv, x.double(), g.double(), one.units).flatten(1).square().sum(1)
        assert bool(((square - true).abs() <= error).all())
        below += int((square < true).sum())
        furthest = max(furthest, float(((true - square) / true).max()))
    assert below >= 40
    assert furthest > 1e-2


@settings(max_examples=60, deadline=None)
@given(one=cases(), seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 30.0, 1e4]))
def test_the_stated_error_holds_in_float32(one: Case, seed: int, offset: float) -> None:
    x, g = one.draw(seed=seed, dtype=torch.float32)
    x = x + offset
    true = by_autograd(one.conv, x.double(), g.double(), one.units).flatten(1).square().sum(1)
    for name, ghost in GHOST.items():
        square, error = ghost(one.conv, x, g, one.units)
        assert bool(((square - true).abs() <= error).all()), name


def test_the_stated_error_grows_with_the_terms_and_shrinks_with_the_precision() -> None:
    pairs, gradient = torch.ones(2, 3, 3), torch.ones(2, 4, 3)
    square, error = contract(pairs, gradient, terms=5)
    assert square.tolist() == [36.0, 36.0]
    spread = (3 * math.sqrt(1 * 4)) ** 2
    assert error.tolist() == pytest.approx([(5 + 4 + 4) * spread * 2.0**-24] * 2)
    assert float(contract(pairs.double(), gradient.double(), terms=5)[1][0]) < 1e-12


def test_norms_of_what_is_not_finite_are_not_finite() -> None:
    one = case((2, 2, 3, 3), (5, 5), padding=1)
    for spoilt, value in ((0, math.nan), (0, math.inf), (1, math.nan), (1, -math.inf)):
        drawn = one.draw()
        drawn[spoilt][1, 0, 2, 2] = value
        for ghost in GHOST.values():
            square, error = ghost(one.conv, *drawn, one.units)
            assert (square + error).isfinite().tolist() == [True, False, True]


def test_methods_are_ordered_by_count_and_by_nothing_else() -> None:
    deep, early = case((64, 64, 3, 3), (4, 4), padding=1, units=32), case((8, 1, 7, 7), (64, 64), stride=2, units=4)
    for one in (deep, early):
        x, g = one.draw(dtype=torch.float32)
        first = convolution.methods(one.conv, x, g, one.units)
        assert by_count(one.conv, x, g, one.units) == first[0]
        assert convolution.methods(one.conv, x + 1e6, 0 * g, one.units) == first
    assert by_count(deep.conv, *deep.draw(), deep.units) in GHOST
    assert by_count(early.conv, *early.draw(), early.units) in DIRECT


def test_what_would_keep_too_much_is_left_out() -> None:
    deep = case((128, 128, 3, 3), (4, 4), padding=1, units=8)
    kept = 8 * 128 * 128 * 9
    x, g = deep.draw(dtype=torch.float32)
    assert kept > 4 * (x.numel() + g.numel())
    assert set(convolution.methods(deep.conv, x, g, 8)) == set(GHOST)
    early = case((2, 1, 3, 3), (64, 64), padding=1, units=8)
    x, g = early.draw(dtype=torch.float32)
    assert 4 * (x.numel() + g.numel()) < 2 * 8 * 64**4
    assert set(convolution.methods(early.conv, x, g, 8)) == set(DIRECT)


def test_where_all_would_keep_too_much_units_go_one_by_one() -> None:
    wide = case((8, 8, 7, 7), (6, 7), padding=3, units=2)
    assert convolution.methods(wide.conv, *wide.draw(dtype=torch.float32), 2) == ["loop"]


@pytest.mark.parametrize("shape", [(3, 2, 1, 3, 3), (3, 2, 3, 1, 3), (3, 2, 3, 3, 1)])
@pytest.mark.parametrize("space", [(4, 6, 8), (5, 6, 7), (3, 5, 7)])
def test_a_lone_volume_cut_in_halves_has_its_own_gradient(shape: tuple[int, ...], space: tuple[int, ...]) -> None:
    padding = tuple(k // 2 for k in shape[2:])
    conv = Convolution(torch.Size(shape), (1, 1, 1), padding, (1, 1, 1), 1)
    one = Case(conv=conv, space=space, units=2)
    x, g = one.draw()
    check_all(one, x, g)
    axis = padding.index(0)
    halves = conv._not_alone(x[:1], g[:1])
    assert len(halves[0]) == len(halves[1]) == (1 if space[axis] % 2 else 2)
    assert len(conv._not_alone(x, g)[0]) == 2


@pytest.mark.parametrize(("stride", "padding"), [((2, 1, 1), (0, 1, 1)), ((1, 1, 1), (1, 1, 1))])
def test_what_a_half_would_lose_stays_whole(stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
    conv = Convolution(torch.Size((3, 2, 1, 3, 3)), stride, padding, (1, 1, 1), 1)
    one = Case(conv=conv, space=(4, 6, 8), units=1)
    x, g = one.draw()
    assert len(conv._not_alone(x, g)[0]) == 1
    check_all(one, x, g)


def test_for_one_unit_to_group_is_to_loop_and_patches_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    large = case((2, 8, 3, 3, 3), (8, 8, 8), padding=1, units=1)
    x, g = large.draw(dtype=torch.float32)
    assert set(convolution.methods(large.conv, x, g, 1)) == {"loop", "unfolded"}
    monkeypatch.setitem(convolution.PATCH_BYTES, "cpu", 1 << 10)
    assert convolution.methods(large.conv, x, g, 1) == ["loop"]
    assert by_time(large.conv, x, g, 1) == "loop"


def test_the_fastest_of_the_fitting_is_one_of_them() -> None:
    deep, early = case((64, 64, 3, 3), (2, 2), padding=1, units=4), case((2, 1, 3, 3), (32, 32), padding=1, units=4)
    for one, fitting in ((deep, GHOST), (early, DIRECT)):
        assert by_time(one.conv, *one.draw(dtype=torch.float32), one.units) in fitting
