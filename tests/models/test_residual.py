"""The paper's network: its parameters counted layer by layer, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from privrad.models.pixels import normalise
from privrad.models.residual import build


def by_hand(blocks: tuple[int, ...], *, width: int, outputs: int) -> int:
    total = 7 * 7 * 3 * width + 2 * width
    inputs = width
    for stage, count in enumerate(blocks):
        channels = width * 2**stage
        for block in range(count):
            total += 9 * inputs * channels + 2 * channels + 9 * channels * channels + 2 * channels
            if stage and not block:
                total += inputs * channels + 2 * channels
            inputs = channels
    return total + inputs * outputs + outputs


def parameters(model: torch.nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def test_the_papers_network_has_4_909_896_parameters() -> None:
    model = build("resnet9", outputs=8, width=64, groups=32, activation="mish")
    assert parameters(model) == 4_909_896 == by_hand((1, 1, 1, 1), width=64, outputs=8)


@pytest.mark.parametrize(("network", "blocks"), [("resnet18", (2, 2, 2, 2)), ("resnet34", (3, 4, 6, 3))])
def test_deeper_networks_count_as_by_hand(network: str, blocks: tuple[int, ...]) -> None:
    model = build(network, outputs=5, width=8, groups=4, activation="relu")
    assert parameters(model) == by_hand(blocks, width=8, outputs=5)


def test_no_convolution_has_a_bias_and_every_one_has_a_group_norm() -> None:
    layers = list(build("resnet9", outputs=8, width=64, groups=32, activation="mish").modules())
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, torch.nn.GroupNorm)]
    assert len(convolutions) == len(norms) == 1 + 4 * 2 + 3
    assert all(layer.bias is None for layer in convolutions)
    assert {layer.num_groups for layer in norms} == {32}


def test_each_stage_halves_and_doubles() -> None:
    model = build("resnet9", outputs=8, width=16, groups=4, activation="mish")
    x = model.stem(torch.zeros(2, 3, 64, 64))
    shapes = [tuple(x.shape)]
    for stage in model.stages:
        x = stage(x)
        shapes.append(tuple(x.shape))
    assert shapes == [(2, 16, 16, 16), (2, 16, 16, 16), (2, 32, 8, 8), (2, 64, 4, 4), (2, 128, 2, 2)]
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 8)


def test_activation_is_the_one_asked_for() -> None:
    for activation, kind in (("mish", torch.nn.Mish), ("relu", torch.nn.ReLU)):
        layers = list(build("resnet9", outputs=2, width=4, groups=2, activation=activation).modules())
        assert sum(isinstance(layer, kind) for layer in layers) == 5


def test_fresh_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build("resnet9", outputs=2, width=4, groups=2, activation="mish", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = build("resnet9", outputs=2, width=4, groups=2, activation="mish", seed=3)
    other = build("resnet9", outputs=2, width=4, groups=2, activation="mish", seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    assert all(bool(value.isfinite().all()) for value in first.parameters())


def test_one_images_output_does_not_depend_on_the_others() -> None:
    model = build("resnet9", outputs=3, width=4, groups=2, activation="mish").double()
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"network": "vgg16"}, "vgg16"),
        ({"activation": "tanh"}, "tanh"),
        ({"groups": 3}, "groups 3"),
        ({"outputs": 0}, "outputs 0"),
    ],
)
def test_what_cannot_be_built_is_named(change: dict[str, object], named: str) -> None:
    settings = {"network": "resnet9", "outputs": 8, "width": 16, "groups": 4, "activation": "mish"} | change
    with pytest.raises(ValueError, match=named):
        build(settings.pop("network"), **settings)  # type: ignore[arg-type]


def test_normalisation_is_per_image() -> None:
    images = torch.randint(0, 256, (5, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    together, alone = normalise(images), normalise(images[2:3])
    assert together.shape == (5, 3, 32, 32)
    assert together.dtype == torch.float32
    assert torch.equal(together[2:3], alone)
    assert torch.allclose(together.mean((1, 2, 3)), torch.zeros(5), atol=1e-5)
    assert torch.allclose(together.std((1, 2, 3), correction=0), torch.ones(5), atol=1e-5)
    assert torch.equal(together[:, 0], together[:, 2])


def test_a_constant_image_becomes_zeros() -> None:
    assert torch.equal(normalise(torch.full((1, 8, 8), 77, dtype=torch.uint8)), torch.zeros(1, 3, 8, 8))
