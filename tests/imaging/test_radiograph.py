"""Preparation: the law, its invariances, its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from privrad.imaging.radiograph import equalise, prepare, resize, to_bytes
from privrad.imaging.read import Unreadable, read_radiograph
from tests.imaging.made import Writer

sides = st.integers(2, 40)
sizes = st.integers(2, 24)


def pictures(shape: tuple[int, int] | None = None) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(sides, sides) if shape is None else st.just(shape)
    return arrays.arrays(np.uint16, shapes, elements=st.integers(0, 4095))


def overlaps(fine: int, coarse: int) -> np.ndarray:
    """Share of each of `coarse` cells that each of `fine` pixels covers, float64 [coarse, fine]."""
    edges, cells = np.arange(fine + 1) * coarse, np.arange(coarse + 1) * fine
    low = np.maximum(edges[None, :-1], cells[:-1, None])
    high = np.minimum(edges[None, 1:], cells[1:, None])
    shares: np.ndarray = np.clip(high - low, 0, None) / fine
    return shares


def grey_levels(pixels: np.ndarray, size: int) -> np.ndarray:
    """The law before equalisation in plain float64, for pictures of at least size x size."""
    shrunk = overlaps(pixels.shape[0], size) @ pixels.astype(np.float64) @ overlaps(pixels.shape[1], size).T
    levels: np.ndarray = 255 * (shrunk - shrunk.min()) / np.ptp(shrunk)
    return levels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns", "size"), [(203, 157, 32), (64, 200, 64), (91, 91, 90), (256, 128, 64)])
def test_within_one_grey_level_of_the_law(dtype: type, rows: int, columns: int, size: int) -> None:
    generator = np.random.default_rng(5)
    pixels: np.ndarray = generator.gamma(2, 20, (rows, columns)).clip(0, 255).astype(dtype)
    expected = grey_levels(pixels, size)
    got = to_bytes(resize(pixels, size=size))
    assert np.abs(got - np.floor(expected)).max() <= 1
    assert np.abs(got - expected).max() < 1 + 1e-3
    assert (got.min(), got.max()) == (0, 255)


def test_a_file_is_mapped_at_full_resolution_then_averaged(chest: np.ndarray, write: Writer) -> None:
    noisy = (chest + np.random.default_rng(2).integers(0, 900, chest.shape)).astype(np.uint16)
    path = write(noisy, BitsStored=13, PhotometricInterpretation="MONOCHROME1", WindowCenter=2600, WindowWidth=600)
    mapped = 1 - np.clip((noisy.astype(np.float64) - 2599.5) / 599 + 0.5, 0, 1)
    expected = grey_levels(mapped, 32)
    assert np.abs(to_bytes(resize(read_radiograph(path), size=32)) - np.floor(expected)).max() <= 1
    averaged_first = 1 - np.clip((overlaps(90, 32) @ noisy @ overlaps(70, 32).T - 2599.5) / 599 + 0.5, 0, 1)
    assert np.abs(255 * averaged_first - expected).max() > 20


def test_a_wide_offset_costs_no_precision() -> None:
    generator = np.random.default_rng(5)
    pixels = generator.integers(0, 40, (300, 210)).astype(np.uint16)
    shifted = grey_levels(pixels, 32)
    for values in (pixels + np.uint16(65_000), pixels.astype(np.int32) + 2**30, pixels + 1e9):
        assert np.abs(to_bytes(resize(values, size=32)) - shifted).max() < 1.05


def test_bilinear_when_enlarging() -> None:
    step = np.repeat([[0.0, 1.0]], 2, axis=0)
    np.testing.assert_allclose(resize(step, size=8)[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    tall = np.repeat(np.arange(12, dtype=np.float32)[:, None], 2, axis=1)
    np.testing.assert_allclose(resize(tall, size=4)[:, 0], [1, 4, 7, 10])


def test_equalise_is_the_stated_law() -> None:
    values = np.random.default_rng(1).gamma(2, 20, (64, 64)).clip(3, 255).astype(np.uint8)
    count = np.bincount(values.ravel(), minlength=256)
    lowest = int(values.min())
    above = np.cumsum(np.where(np.arange(256) > lowest, count, 0))
    expected = np.rint(255 * above / (values.size - count[lowest]))[values]
    np.testing.assert_array_equal(equalise(values), expected)


@settings(deadline=None, max_examples=60)
@given(pictures(), sizes)
def test_shape_type_and_full_range(pixels: np.ndarray, size: int) -> None:
    rows, columns = (min(side, size) for side in pixels.shape)
    shrunk = overlaps(pixels.shape[0], rows) @ pixels @ overlaps(pixels.shape[1], columns).T
    if np.ptp(shrunk) <= 1e-6 * max(np.ptp(pixels), 1):
        with pytest.raises(Unreadable, match="constant_image"):
            prepare(pixels, size=size)
        return
    prepared = prepare(pixels, size=size)
    assert prepared.shape == (size, size)
    assert prepared.dtype == np.uint8
    assert (prepared.min(), prepared.max()) == (0, 255)
    np.testing.assert_array_equal(prepared, prepare(pixels, size=size))


@settings(deadline=None, max_examples=60)
@given(pictures((12, 12)), st.integers(1, 10), st.integers(0, 20_000))
def test_gain_and_offset_change_nothing(pixels: np.ndarray, gain: int, offset: int) -> None:
    pixels[0, :2] = 0, 4095
    other = pixels * np.uint16(gain) + np.uint16(offset)
    np.testing.assert_array_equal(prepare(pixels, size=12), prepare(other, size=12))
    shrunk, other_shrunk = (to_bytes(resize(values, size=5)).astype(int) for values in (pixels, other))
    assert np.abs(shrunk - other_shrunk).max() <= 1


@settings(deadline=None, max_examples=60)
@given(pictures((9, 9)))
def test_a_brighter_pixel_never_turns_darker(pixels: np.ndarray) -> None:
    pixels[0, :2] = 0, 4095
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(prepare(pixels, size=9).ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("size", [4, 7, 23, 64])
def test_constant_images_are_refused(dtype: type, size: int) -> None:
    for value in (0, 7, 100 / 3):
        with pytest.raises(Unreadable) as refusal:
            prepare(np.full((47, 41), value, dtype=dtype), size=size)
        assert refusal.value.reason == "constant_image"


@pytest.mark.parametrize("low", [0, 7, 40_000])
def test_a_pattern_that_averages_out_is_constant(low: int) -> None:
    stripes = np.tile(np.array([0, 1, 3], dtype=np.uint16), (63, 21)) + np.uint16(low)
    with pytest.raises(Unreadable, match="constant_image"):
        prepare(stripes, size=7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [3, 20, 30])
def test_numbers_that_are_not_finite_are_refused(value: float, size: int) -> None:
    for place in [(0, 0), (7, 13), (19, 19)]:
        pixels = np.arange(400.0, dtype=np.float32).reshape(20, 20)
        pixels[place] = value
        with pytest.raises(Unreadable, match="non_finite_image"):
            prepare(pixels, size=size)


def test_what_is_no_picture_is_an_error() -> None:
    for pixels in (np.zeros((3, 3, 3)), np.zeros(5), np.zeros((3, 3), dtype=complex)):
        with pytest.raises(ValueError, match="give real numbers"):
            prepare(pixels, size=8)
    with pytest.raises(ValueError, match="size is 0"):
        prepare(np.eye(4), size=0)
    with pytest.raises(Unreadable, match="0 rows"):
        prepare(np.zeros((0, 4)), size=8)
