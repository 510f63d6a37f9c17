"""Hounsfield units of stored values: rescale, padding, bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from privrad.imaging.hounsfield import AIR
from privrad.imaging.series import read_series
from tests.imaging.made_ct import body, write_series
from tests.imaging.outcome import volume


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    units = body()

    def edit(index: int, one: Dataset) -> None:
        if index % 2:
            one.RescaleSlope, one.RescaleIntercept = 0.5, -2000
            one.PixelData = ((units[index].astype(int) + 2000) * 2).astype(np.int16).tobytes()

    write_series(tmp_path, units, edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_a_rescale_that_is_not_whole_gives_floats(tmp_path: Path) -> None:
    write_series(tmp_path, body(), RescaleSlope=0.25, RescaleIntercept=-200.5)
    values = volume(read_series(tmp_path))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, (body() + 1024.0) * 0.25 - 200.5)


@pytest.mark.parametrize(
    ("stored", "signed", "elements"),
    [
        (-2000, True, {}),
        (-1024, True, {}),  # -2048 HU
        (63536, False, {}),
        (0xF830, False, {"BitsStored": 12}),
        (63536, False, {"PixelPaddingValue": 63536}),
        (3000, False, {"PixelPaddingValue": 3000}),
        (0xF7D0, False, {"BitsStored": 12, "PixelPaddingValue": 0xF7D0}),
        (0xF000 + 3000, False, {"BitsStored": 12, "PixelPaddingValue": 3000}),
        (3000, True, {"PixelPaddingValue": 2990, "PixelPaddingRangeLimit": 3010}),
        (3000, True, {"PixelPaddingValue": 3010, "PixelPaddingRangeLimit": 2990}),
    ],
)
def test_padding_is_air(tmp_path: Path, stored: int, signed: bool, elements: dict[str, Any]) -> None:
    units = body()

    def edit(index: int, one: Dataset) -> None:
        pixels = (units[index].astype(np.int32) + 1024).astype(np.int32)
        pixels[:3] = stored
        one.PixelRepresentation = int(signed)
        one.PixelData = pixels.astype(np.int64).astype(np.int16 if signed else np.uint16).tobytes()
        one.HighBit = one.BitsStored - 1

    write_series(tmp_path, units, edit=edit, **elements)
    units[:, :3] = AIR
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_padding_written_without_its_sign(tmp_path: Path) -> None:
    def edit(_: int, one: Dataset) -> None:
        one.add_new("PixelPaddingValue", "US", 65036)  # -500 in the signed pixels, -900 HU
        pixels = np.frombuffer(one.PixelData, np.int16).copy()
        pixels[:50] = -500
        one.PixelData = pixels.tobytes()
        one.RescaleIntercept = -400

    write_series(tmp_path, body() - 500, edit=edit)
    assert (volume(read_series(tmp_path)).reshape(9, -1)[:, :50] == AIR).all()


@pytest.mark.parametrize("declared", [1024, 1064, 600, 2000])
def test_padding_declared_as_tissue_punches_no_holes(tmp_path: Path, declared: int) -> None:
    units = body()
    units[:, 0, :6] = 0, 40, 41, -424, 976, 975
    write_series(tmp_path, units, PixelPaddingValue=declared)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), units)


def test_a_range_of_padding_ends_where_bodies_begin(tmp_path: Path) -> None:
    units = body()
    units[:, 0, :4] = -900, -501, -500, 40
    write_series(tmp_path, units, PixelPaddingValue=-2000, PixelPaddingRangeLimit=1100)
    np.testing.assert_array_equal(volume(read_series(tmp_path))[:, 0, :4], [[AIR, AIR, -500, 40]] * len(units))


def test_stored_bits_that_do_not_begin_at_the_lowest(tmp_path: Path) -> None:
    def edit(_: int, one: Dataset) -> None:
        one.PixelRepresentation, one.BitsStored, one.HighBit = 0, 12, 14
        one.PixelData = (np.frombuffer(one.PixelData, np.uint16) * np.uint16(8)).tobytes()

    write_series(tmp_path, body(), edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())


def test_overlay_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    def edit(_: int, one: Dataset) -> None:
        one.PixelRepresentation, one.BitsStored, one.HighBit = 0, 12, 11
        one.PixelData = (np.frombuffer(one.PixelData, np.uint16) | 0x1000).tobytes()

    write_series(tmp_path, body(), edit=edit)
    np.testing.assert_array_equal(volume(read_series(tmp_path)), body())
