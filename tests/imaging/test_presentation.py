"""Stored values to presentation values, against pydicom's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from privrad.imaging.presentation import window
from privrad.imaging.read import Unreadable, read_radiograph
from tests.imaging.made import Writer, table


def normal(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    scaled: np.ndarray = (values - values.min()) / (values.max() - values.min())
    return scaled


def by_pydicom(path: Path) -> np.ndarray:
    file = dcmread(path)
    return normal(apply_voi_lut(apply_modality_lut(file.pixel_array, file), file))


CURVE = np.round(4095 * np.sqrt(np.linspace(0, 1, 4096)))
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rescale": {"RescaleSlope": 0.5, "RescaleIntercept": -100},
    "window": {"WindowCenter": 2500, "WindowWidth": 1200},
    "first of several windows": {"WindowCenter": [2500, 100], "WindowWidth": [1200, 50]},
    "exact window": {"WindowCenter": 2500, "WindowWidth": 1200, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 2500, "WindowWidth": 1200, "VOILUTFunction": "SIGMOID"},
    "rescale, then window": {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": 3000, "WindowWidth": 2000},
    "interest table": {"VOILUTSequence": table(CURVE, first=0, bits=12)},
    "interest table shorter than the range": {"VOILUTSequence": table(CURVE[:2000], first=1500, bits=12)},
    "interest table before window": {
        "VOILUTSequence": table(CURVE[::-1], first=0, bits=12),
        "WindowCenter": 2500,
        "WindowWidth": 1200,
    },
    "rescale, then interest table": {
        "RescaleSlope": 1,
        "RescaleIntercept": -1000,
        "VOILUTSequence": table(CURVE, first=-1000, bits=12),
    },
    "modality table": {"ModalityLUTSequence": table(CURVE, first=0), "WindowCenter": 2500, "WindowWidth": 3000},
}


@pytest.mark.filterwarnings("ignore:Applying a VOI LUT on a float input")
@pytest.mark.parametrize("elements", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("bits", [12, 14, 16])
def test_agrees_with_pydicom(elements: dict[str, Any], bits: int, chest: np.ndarray, write: Writer) -> None:
    path = write(chest, BitsStored=bits, **elements)
    np.testing.assert_allclose(normal(read_radiograph(path)), by_pydicom(path), atol=2e-6)


@pytest.mark.parametrize("elements", [CASES["plain"], CASES["rescale"], CASES["modality table"]])
def test_values_without_a_window_are_those_of_the_modality(
    elements: dict[str, Any], chest: np.ndarray, write: Writer
) -> None:
    path = write(chest, **{key: value for key, value in elements.items() if not key.startswith("Window")})
    file = dcmread(path)
    np.testing.assert_allclose(read_radiograph(path), apply_modality_lut(file.pixel_array, file))


def test_falling_rescale_then_window(chest: np.ndarray, write: Writer) -> None:
    falling = {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2500, "WindowWidth": 1200}
    rising = {"WindowCenter": 2500, "WindowWidth": 1200}
    expected = read_radiograph(write(chest, **rising))
    np.testing.assert_array_equal(read_radiograph(write(4095 - chest, **falling)), expected)


def test_signed_and_wide_pixels(chest: np.ndarray, write: Writer) -> None:
    signed = chest.astype(np.int16) - 2048
    np.testing.assert_array_equal(read_radiograph(write(signed)), signed)
    wide = chest.astype(np.uint32) * 65536
    np.testing.assert_array_equal(read_radiograph(write(wide)), wide)
    assert read_radiograph(write((chest >> 4).astype(np.uint8))).max() == (chest >> 4).max()


def test_bits_beside_the_stored_ones_are_ignored(chest: np.ndarray, write: Writer) -> None:
    rubbish = chest | np.uint16(0xA000)
    np.testing.assert_array_equal(read_radiograph(write(rubbish, BitsStored=12)), chest)
    high = (chest << np.uint16(4)) | np.uint16(0x5)
    np.testing.assert_array_equal(read_radiograph(write(high, BitsStored=12, HighBit=15)), chest)
    signed = (chest.astype(np.int16) - 2048) & np.int16(0x0FFF)
    expected = chest.astype(np.int16) - 2048
    np.testing.assert_array_equal(read_radiograph(write(signed, BitsStored=12, PixelRepresentation=1)), expected)


@pytest.mark.parametrize("elements", [{}, CASES["window"], CASES["interest table"]])
@pytest.mark.parametrize("shape", [None, "INVERSE", "IDENTITY"])
def test_inversion_happens_once(elements: dict[str, Any], shape: str | None, chest: np.ndarray, write: Writer) -> None:
    upright = normal(read_radiograph(write(chest, BitsStored=12, **elements)))
    presentation = {"PresentationLUTShape": shape} if shape else {}
    path = write(chest, BitsStored=12, PhotometricInterpretation="MONOCHROME1", **presentation, **elements)
    np.testing.assert_allclose(normal(read_radiograph(path)), 1 - upright, atol=1e-6)


def test_both_photometric_interpretations_show_the_same_picture(chest: np.ndarray, write: Writer) -> None:
    bright = read_radiograph(write(chest, BitsStored=12))
    dark = read_radiograph(write(4095 - chest, BitsStored=12, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(bright, dark)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "padding",
    [{"PixelPaddingValue": 0}, {"PixelPaddingValue": 4095}, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 9}],
)
def test_padding_is_the_darkest_value_of_the_rest(
    photometric: str, padding: dict[str, int], chest: np.ndarray, write: Writer
) -> None:
    pixels = np.clip(chest, 100, 4000)
    pixels[:20] = padding["PixelPaddingValue"]
    pixels[20:22] = padding.get("PixelPaddingRangeLimit", padding["PixelPaddingValue"])
    values = read_radiograph(write(pixels, BitsStored=12, PhotometricInterpretation=photometric, **padding))
    assert (values[:22] == values[22:].min()).all()
    plain = read_radiograph(write(pixels, BitsStored=12, PhotometricInterpretation=photometric))
    np.testing.assert_array_equal(values[22:], plain[22:])


def test_padding_below_zero(chest: np.ndarray, write: Writer) -> None:
    pixels = chest.astype(np.int16)
    pixels[:20] = -2000
    values = read_radiograph(write(pixels, PixelPaddingValue=-2000, RescaleSlope=1, RescaleIntercept=-1024))
    assert (values[:20] == values[20:].min()).all()
    assert values[20:].min() >= -1024


@pytest.mark.parametrize("width", [1, 2, 50.5])
def test_linear_window_ends_where_the_standard_says(width: float) -> None:
    low, high = 99.5 - (width - 1) / 2, 99.5 + (width - 1) / 2
    ends = window(np.array([low - 1e-9, low, high + 1e-9, 1e9]), centre=100, width=width, function="LINEAR")
    np.testing.assert_allclose(ends, [0, 0, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("width", "function"),
    [(0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-3, "SIGMOID"), (10, "CUBIC"), (float("nan"), "LINEAR")],
)
def test_window_that_is_none(width: float, function: str) -> None:
    with pytest.raises(Unreadable, match=r"invalid_window: .*"):
        window(np.arange(9.0), centre=4, width=width, function=function)


def test_table_cut_short(chest: np.ndarray, write: Writer) -> None:
    sequence = table(CURVE, first=0)
    sequence[0].LUTData = sequence[0].LUTData[:50]
    with pytest.raises(Unreadable, match="invalid_table: a lookup table has 100 of 4096 entries"):
        read_radiograph(write(chest, VOILUTSequence=sequence))


def test_header_that_contradicts_itself(chest: np.ndarray, write: Writer) -> None:
    with pytest.raises(Unreadable, match="the header contradicts itself"):
        read_radiograph(write(chest, BitsStored=12, HighBit=5))
