"""The paper's network for CT: parameters counted by hand, kernels by planes against dense ones, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from privrad.models import planes, slabs
from privrad.models.activations import Mish
from privrad.models.planes import PlaneConv3d
from privrad.models.pools import MaxPool3d
from privrad.models.scale_resnet9 import Halves, build, in_three_dimensions


def by_hand(*, width: int, outputs: int, dimensions: int) -> int:
    def block(inputs: int, channels: int) -> int:
        return 9 * inputs * channels + 2 * channels

    def pair(channels: int) -> int:
        return 2 * block(channels, channels) + 2 * channels

    body = block(3, width) + block(width, 2 * width) + pair(2 * width) + block(2 * width, 4 * width)
    body += block(4 * width, 4 * width) + pair(4 * width)
    front = 3 if dimensions == 3 else 0
    return front + body + 4 * width * {2: 4, 3: 8}[dimensions] * outputs + outputs


def made(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dimensions", "count"), [(2, 2_439_489), (3, 2_440_516)])
def test_the_papers_network_has_its_number_of_parameters(dimensions: int, count: int) -> None:
    model = build(dimensions, outputs=1)  # type: ignore[arg-type]
    assert sum(value.numel() for value in model.parameters()) == count
    assert count == by_hand(width=64, outputs=1, dimensions=dimensions)
    assert model.head.in_features == {2: 1024, 3: 2048}[dimensions]


@pytest.mark.parametrize(("dimensions", "size"), [(2, (24, 40)), (3, (8, 24, 16)), (3, (32, 56, 56))])
def test_three_pools_then_two_cells_an_axis(dimensions: int, size: tuple[int, ...]) -> None:
    model = build(dimensions, outputs=3, width=8, groups=4)  # type: ignore[arg-type]
    x = torch.zeros(2, 3 if dimensions == 2 else 1, *size)
    body = model.body(model.front(x))
    assert tuple(body.shape) == (2, 32, *(length // 8 for length in size))
    assert tuple(model.pool(body).shape) == (2, 32, *[2] * dimensions)
    assert model(x).shape == (2, 3)


def test_every_three_by_three_convolution_has_its_group_norm_and_every_pair_one_more() -> None:
    layers = list(build(3, outputs=1).modules())
    norms = [layer for layer in layers if isinstance(layer, nn.GroupNorm)]
    assert sum(isinstance(layer, PlaneConv3d) for layer in layers) == 8
    assert len(norms) == 8 + 2
    assert {layer.num_groups for layer in norms} == {32}
    assert sum(isinstance(layer, nn.Mish) for layer in layers) == 8
    assert [layer.bias for layer in layers if isinstance(layer, nn.Conv3d)] == [None]


def test_a_pair_adds_its_input_before_the_last_norm() -> None:
    pair = build(2, outputs=1, width=4, groups=2).body[2].double()
    x = made(0, 2, 8, 6, 6)
    y = x
    for name in ("first", "second"):
        y = functional.conv2d(y, pair.get_parameter(f"{name}.0.weight"), padding=1)
        y = functional.mish(functional.group_norm(y, 2))
    assert torch.allclose(pair(x), functional.group_norm(x + y, 2), atol=1e-10)


@pytest.mark.parametrize(
    ("outputs", "thirds"),
    [(64, (22, 21, 21)), (128, (43, 43, 42)), (256, (86, 85, 85)), (3, (1, 1, 1)), (5, (2, 2, 1))],
)
def test_channels_come_in_thirds_axial_coronal_sagittal(outputs: int, thirds: tuple[int, ...]) -> None:
    parts = PlaneConv3d(2, outputs, 3).parts()
    assert tuple(channels.stop - channels.start for channels, _ in parts) == thirds
    assert [axis for _, axis in parts] == [0, 1, 2]
    assert [index for channels, _ in parts for index in range(outputs)[channels]] == list(range(outputs))


def test_each_plane_sees_only_itself() -> None:
    layer = PlaneConv3d(1, 3, 3).double()
    impulse = torch.zeros(1, 1, 5, 5, 5, dtype=torch.float64)
    impulse[0, 0, 2, 2, 2] = 1
    reached = layer(impulse)[0] != 0
    for normal, where in enumerate(reached):
        assert where.nonzero()[:, normal].tolist() == [2] * 9


@settings(deadline=None, max_examples=25)
@given(
    inputs=st.integers(1, 3),
    outputs=st.integers(3, 8),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    size=st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(3, 7)),
    seed=st.integers(0, 99),
)
def test_planes_equal_a_dense_convolution_of_kernels_embedded_in_zeros(
    inputs: int, outputs: int, kernel: int, stride: int, size: tuple[int, int, int], seed: int
) -> None:
    layer = PlaneConv3d(inputs, outputs, kernel, stride=stride).double()
    weight = made(seed, outputs, inputs, kernel, kernel).requires_grad_()
    layer.weight = nn.Parameter(weight.detach().clone())
    x = made(seed + 1, 2, inputs, *size)
    rows = []
    for channel in range(outputs):
        normal = 0 if channel < -(-outputs // 3) else 1 if channel < outputs - outputs // 3 else 2
        before = [torch.zeros_like(weight[channel])] * (kernel // 2)
        rows.append(torch.stack([*before, weight[channel], *before], dim=1 + normal))
    dense = functional.conv3d(x, torch.stack(rows), stride=stride, padding=kernel // 2)
    out = layer(x)
    assert out.shape == dense.shape
    assert torch.allclose(out, dense, atol=1e-10)
    target = made(seed + 2, *out.shape)
    (given_gradient,) = torch.autograd.grad((out * target).sum(), layer.weight)
    (dense_gradient,) = torch.autograd.grad((dense * target).sum(), weight)
    assert torch.allclose(given_gradient, dense_gradient, atol=1e-9)


@pytest.mark.parametrize("size", [(2, 2), (7, 7), (5, 8), (1, 4), (4, 7, 7), (2, 3, 6)])
def test_halves_are_adaptive_max_pooling_to_two(size: tuple[int, ...]) -> None:
    x = made(3, 2, 4, *size).requires_grad_()
    pool = functional.adaptive_max_pool2d if len(size) == 2 else functional.adaptive_max_pool3d
    target = made(4, 2, 4, *[2] * len(size))
    expected = pool(x, 2)
    found = Halves()(x)
    assert torch.equal(found, expected)
    (found_gradient,) = torch.autograd.grad((found * target).sum(), x)
    (expected_gradient,) = torch.autograd.grad((expected * target).sum(), x)
    assert torch.allclose(found_gradient, expected_gradient, atol=1e-12)


def test_the_order_in_memory_within_a_convolution_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = PlaneConv3d(3, 5, 3).double()
    target = made(7, 2, 5, 4, 5, 6)
    found = []
    for few in (planes.FEW, 0):
        monkeypatch.setattr(planes, "FEW", few)
        x = made(6, 2, 3, 4, 5, 6).requires_grad_()
        out = layer(x)
        gradients = torch.autograd.grad((out * target).sum(), [x, layer.weight])
        assert out.is_contiguous()
        assert all(value.is_contiguous() for value in gradients)
        found.append([out.detach(), *gradients])
    assert layer.memory_format(x) is torch.contiguous_format
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(*found, strict=True))


def passes(model: nn.Module, x: Tensor) -> tuple[list[Tensor], int]:
    """Output and gradients of one pass, and how often convolutions by planes ran."""
    runs = []
    handles = [
        layer.register_forward_pre_hook(lambda *_: runs.append(1))
        for layer in model.modules()
        if isinstance(layer, PlaneConv3d)
    ]
    out = model(x)
    gradients = torch.autograd.grad(out.square().sum(), list(model.parameters()))
    for handle in handles:
        handle.remove()
    return [out.detach(), *gradients], len(runs)


@pytest.mark.parametrize("size", [(8, 9, 10), (9, 8, 8), (11, 8, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_volumes_are_computed_again_in_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, ...], dtype: torch.dtype
) -> None:
    model = build(3, outputs=2, width=4, groups=2).to(dtype)
    x = made(8, 2, 1, *size).to(dtype)
    kept, runs = passes(model, x)
    monkeypatch.setattr(slabs, "LARGE_VOLUME", 64)
    again, more = passes(model, x)
    assert (runs, more) == (8, 16)
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))
    with torch.no_grad():
        assert torch.equal(model(x), kept[0])
    monkeypatch.setattr(slabs, "PLANES", 2)
    by_two, _ = passes(model, x)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(kept, by_two, strict=True))


@pytest.mark.parametrize("planes_each", [2, 4, 16])
@pytest.mark.parametrize("depth", [1, 2, 3, 8, 9, 17])
def test_a_volume_slab_after_slab_is_the_volume(monkeypatch: pytest.MonkeyPatch, depth: int, planes_each: int) -> None:
    monkeypatch.setattr(slabs, "PLANES", planes_each)
    layers = [Mish(), nn.Sequential(Mish(), MaxPool3d(2))][: 1 + (depth > 1)]
    for layer in layers:
        x = made(depth, 2, 3, depth, 5, 4).requires_grad_()
        expected, found = layer(x), slabs.by_slabs(layer, x)
        assert torch.allclose(found, expected, rtol=0, atol=1e-14)
        target = made(1, *expected.shape)
        ours, theirs = (torch.autograd.grad((out * target).sum(), x)[0] for out in (found, expected))
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-14)


def test_a_volume_is_large_by_its_voxels_and_an_image_never() -> None:
    assert slabs.is_large((224, 224, 128))
    assert not slabs.is_large((24, 48, 48))
    assert not slabs.is_large((4096, 4096))


def test_fresh_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(3, outputs=2, width=4, groups=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = build(3, outputs=2, width=4, groups=2, seed=3)
    other = build(3, outputs=2, width=4, groups=2, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.equal(first.front.weight, torch.ones(3, 1, 1, 1, 1))  # type: ignore[arg-type]
    assert all(bool(value.isfinite().all()) for value in first.parameters())


def test_the_body_starts_the_same_in_both_dimensions() -> None:
    flat, volume = (build(dimensions, outputs=1, width=4, groups=2, seed=7).body for dimensions in (2, 3))
    assert all(torch.equal(a, b) for a, b in zip(flat.parameters(), volume.parameters(), strict=True))


def test_a_volume_takes_the_weights_of_an_image_network() -> None:
    flat = build(2, outputs=1, width=4, groups=2, seed=1)
    volume = build(3, outputs=1, width=4, groups=2, seed=2)
    head = volume.head.weight.clone()
    in_three_dimensions(flat.state_dict(), volume)
    flat_body, volume_body = flat.body.state_dict(), volume.body.state_dict()
    assert flat_body.keys() == volume_body.keys()
    assert all(torch.equal(flat_body[name], volume_body[name]) for name in flat_body)
    assert torch.equal(volume.head.weight, head)
    with pytest.raises(ValueError, match="do not fit this network"):
        in_three_dimensions(build(2, outputs=1, width=8, groups=2).state_dict(), volume)
    with pytest.raises(ValueError, match=r"weights body\.0\.0\.weight"):
        in_three_dimensions({}, volume)


def test_one_volumes_output_does_not_depend_on_the_others() -> None:
    model = build(3, outputs=3, width=4, groups=2).double()
    x = made(5, 4, 1, 8, 9, 10)
    assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dimensions": 4}, "dimensions 4"),
        ({"activation": "tanh"}, "tanh"),
        ({"groups": 3}, "groups 3"),
        ({"width": 2, "groups": 1}, "width 2"),
        ({"outputs": 0}, "outputs 0"),
    ],
)
def test_what_cannot_be_built_is_named(change: dict[str, object], named: str) -> None:
    settings = {"dimensions": 3, "outputs": 1, "width": 16, "groups": 4} | change
    with pytest.raises(ValueError, match=named):
        build(settings.pop("dimensions"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "stride", "named"),
    [((0, 3, 3), 1, "inputs 0"), ((1, 2, 3), 1, "outputs 2"), ((1, 3, 4), 1, "kernel 4"), ((1, 3, 3), 0, "stride 0")],
)
def test_a_convolution_that_cannot_be_is_named(arguments: tuple[int, int, int], stride: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PlaneConv3d(*arguments, stride=stride)
