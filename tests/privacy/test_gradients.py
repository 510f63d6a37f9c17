"""Clipped sums equal a loop of autograd in float64, whatever the layers, methods, views and splits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from privrad.models import planes, residual, scale_resnet9, slabs
from privrad.models.planes import PlaneConv3d
from privrad.privacy import gradients, layers
from privrad.privacy.convolution import DIRECT, GHOST, Convolution
from privrad.privacy.gradients import MixedGradients
from privrad.privacy.plan import Precision
from privrad.privacy.reference import OpacusGradients
from tests.privacy.loops import apart, by_loop, by_unit, clipped, flat, squared

METHODS = [*DIRECT, *GHOST]
CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def summed(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    clip: float = 0.5,
    views: int = 1,
    splits: tuple[int, ...] = (),
    padding: int = 0,
    methods: Mapping[str, str] | None = None,
    opacus: bool = False,
) -> Tensor:
    """The clipped sum as one vector, added in parts that end before the units `splits`, each with padding units."""
    given: dict[str, Any] = {"loss": squared, "clipping_norm": clip, "views": views}
    engine = OpacusGradients(model, **given) if opacus else MixedGradients(model, methods=methods, **given)
    with engine:
        ends = sorted({0, len(x), *(min(end * views, len(x)) for end in splits)})
        for start, stop in pairwise(ends):
            own, targets = (torch.cat([value[start:stop], *[value[:views]] * padding]) for value in (x, y))
            engine.add(own, targets, padding=padding)
        return flat(engine.take())


def drawn(samples: int, *shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *shape, dtype=torch.float64, generator=generator)
    return x, torch.randn(samples, 1, dtype=torch.float64, generator=generator)


def small(layer: nn.Module, shape: tuple[int, ...], *, seed: int = 0) -> nn.Sequential:
    """A network in which the layer comes first and has layers behind it."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel", category=UserWarning)
        wide = layer.double()(torch.zeros(1, *shape, dtype=torch.float64)).numel()
    return nn.Sequential(layer, nn.Mish(), nn.Flatten(), nn.LayerNorm(wide), nn.Linear(wide, 2)).double()


@st.composite
def convolved(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A network that starts with a convolution, and the shape of its input."""
    axes = draw(st.integers(1, 3))

    def along(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes)))

    kernel, dilation = along(1, 3), along(1, 2)
    padding: Any = draw(st.sampled_from(["same", "valid", along(0, 2)]))
    stride = (1,) * axes if padding == "same" else along(1, 3)
    groups, inputs, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    torch.manual_seed(draw(st.integers(0, 1000)))
    channels = groups * inputs, groups * outputs
    layer = CONVOLUTIONS[axes](
        *channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=draw(st.booleans())
    )
    space = tuple(d * (k - 1) + 1 + more for d, k, more in zip(dilation, kernel, along(0, 3), strict=True))
    shape = (channels[0], *space)
    return small(layer, shape, seed=draw(st.integers(0, 1000))), shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(
    network=convolved(),
    units=st.integers(0, 5),
    views=st.integers(1, 3),
    padding=st.integers(0, 2),
    clip=st.sampled_from([0.01, 0.5, 1e3]),
    splits=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_sums_equal_a_loop(
    method: str,
    network: tuple[nn.Module, tuple[int, ...]],
    units: int,
    views: int,
    padding: int,
    clip: float,
    splits: tuple[int, int],
) -> None:
    model, shape = network
    x, y = drawn(units * views, *shape)
    expected = by_loop(model, x, y, clip=clip, views=views)
    found = summed(
        model, x, y, clip=clip, views=views, splits=splits, padding=padding if units else 0, methods={"0": method}
    )
    assert apart(found, expected) < 1e-6 or float((found - expected).norm()) < 1e-12


def mixture() -> nn.Sequential:
    """Every rule behind another: convolutions, GroupNorm, LayerNorm over several axes, Linear at many positions."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2),
        nn.GroupNorm(2, 4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, (1, 3), stride=(2, 1), dilation=(1, 2), bias=False),
        nn.LayerNorm([3, 3]),
        nn.Linear(3, 5),
        nn.Flatten(2),
        nn.Linear(15, 2, bias=False),
        nn.Flatten(),
        nn.Linear(8, 6),
        nn.GroupNorm(2, 6),
        nn.Linear(6, 3),
    ).double()


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_every_rule_together_equals_a_loop(method: str, views: int) -> None:
    model = mixture()
    x, y = drawn(18 * views, 2, 6, 7)
    expected = by_loop(model, x, y, clip=0.5, views=views)
    methods = {"0": method, "3": method}
    for splits in ((), (1, 17)):
        assert apart(summed(model, x, y, views=views, splits=splits, methods=methods), expected) < 1e-9
    assert apart(summed(model, x, y, views=views, opacus=True), expected) < 1e-9


@pytest.mark.parametrize("positions", [2, 12])
@pytest.mark.parametrize("views", [1, 3])
def test_linear_layers_with_more_positions_equal_a_loop(positions: int, views: int) -> None:
    model = small(nn.Linear(4, 6), (positions, 4))
    x, y = drawn(4 * views, positions, 4)
    assert apart(summed(model, x, y, views=views), by_loop(model, x, y, clip=0.5, views=views)) < 1e-9


@pytest.mark.parametrize("name", [name for name, _ in mixture().named_parameters()])
@pytest.mark.parametrize("alone", [False, True])
def test_frozen_parameters_have_no_part_in_the_norm(name: str, alone: bool) -> None:
    model = mixture()
    for key, value in model.named_parameters():
        value.requires_grad_((key == name) == alone)
    x, y = drawn(4, 2, 6, 7)
    expected = by_loop(model, x, y, clip=0.01, views=2)
    for opacus in (False, True):
        found = summed(model, x, y, clip=0.01, views=2, opacus=opacus)
        assert len(found) == sum(value.numel() for value in model.parameters() if value.requires_grad)
        assert apart(found, expected) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_convolutions_by_planes_equal_a_loop(method: str) -> None:
    for inputs, outputs, kernel, stride in ((2, 4, 3, 1), (1, 3, 3, 2), (2, 5, 1, 1)):
        model = small(PlaneConv3d(inputs, outputs, kernel, stride=stride), (inputs, 4, 5, 6))
        x, y = drawn(6, inputs, 4, 5, 6)
        for views in (1, 2):
            methods = {f"0.{axis}": method for axis in range(3)}
            found = summed(model, x, y, views=views, methods=methods)
            assert apart(found, by_loop(model, x, y, clip=0.5, views=views)) < 1e-9


class Repeated(nn.Module):
    """Gives one channel as several, without a copy."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1].expand(-1, 3, *x.shape[2:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"padding": "same"}, {"groups": 3}])
def test_identical_channels_are_one_channel_and_equal_a_loop(method: str, settings: dict[str, Any]) -> None:
    first = small(nn.Conv2d(3, 6, 3, **settings), (3, 6, 7))
    nested = nn.Sequential(nn.Conv2d(2, 2, 1).double(), Repeated(), *small(nn.Conv2d(3, 6, 3, **settings), (3, 6, 7)))
    for model, name, channels in ((first, "0", 1), (nested, "2", 2)):
        x, y = drawn(6, channels, 6, 7)
        x = x if channels == 2 else x.expand(-1, 3, -1, -1)
        for views in (1, 2):
            expected = by_loop(model, x, y, clip=0.5, views=views)
            assert apart(summed(model, x, y, views=views, methods={name: method}), expected) < 1e-9


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_identical_channels_are_convolved_as_one(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    seen = []

    def noted(conv: Convolution, x: Tensor, g: Tensor, units: int) -> str:
        seen.append(x.shape[1])
        return "gram"

    monkeypatch.setattr(layers, "by_count", noted)
    model = small(nn.Conv2d(3, 6, 3), (3, 6, 7)).float()
    x, y = (value.float() for value in drawn(2, 1, 6, 7))
    with MixedGradients(model, loss=squared, clipping_norm=1.0, precision=precision) as engine:
        engine.add(x.expand(-1, 3, -1, -1), y)
    assert seen == [1]


class Turned(nn.Module):
    """Swaps two axes without a copy."""

    def __init__(self, first: int, second: int):
        super().__init__()
        self.axes = first, second

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(*self.axes)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.GroupNorm(2, 4), (4, 5)),
        (nn.GroupNorm(2, 4), (4, 5, 3)),
        (nn.GroupNorm(2, 4), (4, 5, 3, 2)),
        (nn.LayerNorm([5, 3]), (4, 5, 3)),
        (nn.Conv2d(4, 2, 2), (4, 5, 3)),
        (nn.Linear(3, 2), (4, 5, 3)),
    ],
)
def test_layers_take_what_lies_in_another_order(layer: nn.Module, shape: tuple[int, ...]) -> None:
    turned = nn.Sequential(Turned(1, len(shape)), layer)
    lying = (shape[-1], *shape[1:-1], shape[0])
    model = small(turned, lying)
    x, y = drawn(4, *lying)
    assert apart(summed(model, x, y, views=2), by_loop(model, x, y, clip=0.5, views=2)) < 1e-9


@pytest.mark.parametrize("method", ["grouped", "unfolded", "gram", "ghost"])
@pytest.mark.parametrize("channels", [1, 2])
def test_large_images_are_laid_out_with_channels_last_and_give_the_same(
    monkeypatch: pytest.MonkeyPatch, method: str, channels: int
) -> None:
    monkeypatch.setattr(gradients, "LARGE_IMAGE", 6 * 7)
    model = mixture()
    x, y = drawn(6, channels, 6, 7)
    x = x.expand(-1, 2, -1, -1)
    expected = by_loop(model, x, y, clip=0.5, views=2)
    with MixedGradients(model, loss=squared, clipping_norm=0.5, views=2, methods={"0": method, "3": method}) as engine:
        engine.add(x, y)
        assert model.get_parameter("3.weight").is_contiguous(memory_format=torch.channels_last)
        assert not model.get_parameter("3.weight").is_contiguous()
        sums = engine.take()
    assert all(value.is_contiguous() for value in sums)
    assert apart(flat(sums), expected) < 1e-9
    assert model.get_parameter("3.weight").is_contiguous()


class Reshaped(nn.Module):
    """Gives what it takes, as a view whose strides along axes of length 1 are others."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape)


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("before", [Reshaped, nn.Identity])
@pytest.mark.parametrize("behind", [Reshaped, nn.Identity])
def test_one_large_image_in_an_odd_view_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, units: int, before: type[nn.Module], behind: type[nn.Module]
) -> None:
    monkeypatch.setattr(gradients, "LARGE_IMAGE", 6 * 7)
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv2d(2, 4, 3), before(), nn.GroupNorm(2, 4), behind(), nn.Conv2d(4, 2, 3))
    model = small(front, (2, 6, 7))
    x, y = drawn(units, 2, 6, 7)
    assert apart(summed(model, x, y), by_loop(model, x, y, clip=0.5)) < 1e-9


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("method", [*METHODS, "opacus"])
def test_one_bad_view_silences_its_whole_unit_and_no_other(method: str, bad: float) -> None:
    model = mixture()
    x, y = drawn(8, 2, 6, 7)
    expected = by_loop(model, x[[0, 1, 4, 5, 6, 7]], y[[0, 1, 4, 5, 6, 7]], clip=0.5, views=2)
    x[3, 0, 3, 3] = bad
    found = summed(model, x, y, views=2, methods={"0": method, "3": method}, opacus=method == "opacus")
    assert apart(found, expected) < 1e-9


@pytest.mark.parametrize("opacus", [False, True])
def test_an_infinite_gradient_contributes_zero_and_a_huge_one_stays_within_the_clip(opacus: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    x, y = torch.randn(3, 4), torch.zeros(3, 1)
    for bad, largest in ((float("inf"), 0.0), (1e25, 1.0)):
        spoilt = y.clone()
        spoilt[1] = bad
        rest = by_loop(model, x[[0, 2]], y[[0, 2]], clip=1.0)
        left = summed(model, x, spoilt, clip=1.0, opacus=opacus).double() - rest
        assert float(left.norm()) <= largest + 1e-5


def test_nothing_is_left_of_units_that_are_all_bad_or_all_padding() -> None:
    model = mixture()
    x, y = drawn(2, 2, 6, 7)
    assert not summed(model, x * float("nan"), y).any()
    with MixedGradients(model, loss=squared, clipping_norm=0.5) as engine:
        engine.add(x, y, padding=2)
        assert not flat(engine.take()).any()


@pytest.mark.parametrize("opacus", [False, True])
def test_the_views_of_a_unit_are_averaged_before_the_norm(opacus: bool) -> None:
    model = mixture()
    x, y = drawn(1, 2, 6, 7)
    repeated = summed(model, x.repeat(3, 1, 1, 1), y.repeat(3, 1), clip=1e6, views=3, opacus=opacus)
    assert apart(repeated, summed(model, x, y, clip=1e6)) < 1e-9


def test_a_residual_network_equals_a_loop() -> None:
    model = residual.build("resnet9", outputs=2, width=8, groups=4, activation="mish").double()
    x, y = drawn(6, 1, 33, 33)
    x = x.expand(-1, 3, -1, -1)
    for views in (1, 2):
        own = by_unit(model, x, y, views=views)
        for methods in (None, {name: "gram" for name, layer in model.named_modules() if type(layer) is nn.Conv2d}):
            found = summed(model, x, y, clip=1.0, views=views, splits=(2,), methods=methods)
            assert apart(found, clipped(own, clip=1.0, like=model)) < 1e-6


def test_a_network_for_volumes_equals_a_loop() -> None:
    model = scale_resnet9.build(3, outputs=2, width=4, groups=2).double()
    x, y = drawn(4, 1, 8, 9, 10)
    own = by_unit(model, x, y, views=2)
    for method in (None, "ghost", "grouped"):
        names = [f"body.{part}" for part in ("0.0", "1.0.0", "2.first.0", "2.second.0", "3.0.0", "4.0.0", "5.first.0")]
        methods = {f"{name}.{axis}": method for name in names for axis in range(3)} if method else None
        assert apart(summed(model, x, y, views=2, methods=methods), clipped(own, clip=0.5, like=model)) < 1e-6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("views", [1, 2])
def test_a_large_volume_computed_again_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, views: int
) -> None:
    model = scale_resnet9.build(3, outputs=2, width=4, groups=2)
    x, y = (value.float() for value in drawn(4, 1, 9, 8, 10))
    sums = []
    for large in (slabs.LARGE_VOLUME, 64):
        monkeypatch.setattr(slabs, "LARGE_VOLUME", large)
        with MixedGradients(model, loss=squared, clipping_norm=0.5, views=views, precision=precision) as engine:
            for start in (0, 2):
                engine.add(x[start : start + 2], y[start : start + 2])
            sums.append(flat(engine.take()))
    assert sums[0].any()
    assert torch.equal(*sums)
    wide = model.double()
    expected = by_loop(wide, x.double(), y.double(), clip=0.5, views=views)
    assert apart(sums[1], expected) < {"float32": 1e-4, "bfloat16": 0.1}[precision]


def test_a_wide_network_for_volumes_equals_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes, "FEW", 0)
    model = scale_resnet9.build(3, outputs=2, width=4, groups=2).double()
    x, y = drawn(3, 1, 8, 9, 10)
    assert apart(summed(model, x, y), by_loop(model, x, y, clip=0.5)) < 1e-6


def test_methods_that_are_given_are_kept_and_others_are_chosen_once() -> None:
    model, volumes = mixture(), small(PlaneConv3d(2, 4, 3), (2, 4, 5, 6))
    x, y = drawn(4, 2, 6, 7)
    given = {"0": "loop"}
    with MixedGradients(model, loss=squared, clipping_norm=0.5, methods=given) as engine:
        engine.add(x, y)
        chosen = dict(engine.methods)
        engine.add(x[:1], y[:1])
        assert engine.methods == chosen
    assert chosen.keys() == {"0", "3"}
    assert chosen["0"] == "loop"
    assert given == {"0": "loop"}
    for timed in (False, True):
        with MixedGradients(volumes, loss=squared, clipping_norm=0.5, timed=timed) as engine:
            engine.add(*drawn(4, 2, 4, 5, 6))
            assert engine.methods.keys() == {"0.0", "0.1", "0.2"}
            assert set(engine.methods.values()) <= set(METHODS)


@pytest.mark.parametrize("opacus", [False, True])
def test_sums_restart_and_the_model_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, opacus: bool) -> None:
    monkeypatch.setattr(gradients, "LARGE_IMAGE", 6 * 7)
    model = mixture()
    before = [value.clone() for value in model.parameters()]
    x, y = drawn(3, 2, 6, 7)
    output = model(x)
    given: dict[str, Any] = {"loss": squared, "clipping_norm": 1.0}
    with OpacusGradients(model, **given) if opacus else MixedGradients(model, **given) as engine:
        engine.add(x, y)
        first = engine.take()
        assert all(not bool(value.any()) for value in engine.take())
        engine.add(x, y)
        assert all(torch.equal(a, b) for a, b in zip(first, engine.take(), strict=True))
    for layer in model.modules():
        assert "forward" not in vars(layer)
        assert not layer._forward_hooks
    for value, old in zip(model.parameters(), before, strict=True):
        assert value.grad is None
        assert not hasattr(value, "grad_sample")
        assert torch.equal(value, old)
        assert value.stride() == old.stride()
    assert torch.equal(model(x), output)


@pytest.mark.parametrize("opacus", [False, True])
def test_an_error_within_leaves_no_part_of_a_batch(opacus: bool) -> None:
    model = mixture()
    x, y = drawn(3, 2, 6, 7)
    expected = summed(model, x, y, opacus=opacus)

    def failing(*_: object) -> None:
        raise OSError("the device is gone")

    given: dict[str, Any] = {"loss": squared, "clipping_norm": 0.5}
    with OpacusGradients(model, **given) if opacus else MixedGradients(model, **given) as engine:
        handle = model[3].register_full_backward_hook(failing)
        with pytest.raises(OSError, match="device"):
            engine.add(x, y)
        handle.remove()
        engine.add(x, y)
        assert torch.equal(flat(engine.take()), expected)
