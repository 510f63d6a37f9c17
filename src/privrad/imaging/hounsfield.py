"""From the stored values of a CT slice to Hounsfield units: DICOM PS3.3, sections C.7.5.1.1.2, C.7.6.3 and C.11.1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from privrad.imaging.presentation import as_stored, stored_integers

AIR = -1024
"""Hounsfield units of what was not scanned: the least of ordinary 12-bit CT, a little under those of real air."""
MOST = 32_767
"""The most that CT can have; titanium is below 10,000 and the extended scale of scanners ends at 30,710."""
NO_PIXEL = 63_536
"""-2000, the usual padding, written without its sign."""
BODY = (-500, 1000)
"""Hounsfield units that fill a body: a padding value declared among them is a mistake, and would punch holes."""


@dataclass(frozen=True)
class Coding:
    """How a slice stores Hounsfield units: the bits, the rescale, and the range of stored values that is padding."""

    allocated: int
    bits: int
    high: int
    signed: bool
    slope: float
    intercept: float
    padding: tuple[float, float] | None


def hounsfield(raw: np.ndarray, coding: Coding) -> np.ndarray:
    """Map raw pixels to Hounsfield units, int16 where all are whole numbers and float32 otherwise.

    `raw` holds unsigned integers of the allocated width, 8 or 16 bits, with garbage above the stored bits allowed.
    Air (-1024) become padding, in either signedness, unless it means -500 to 1000 HU, which bodies have; 63536 where it
    exceeds the stored bits; and what lies below -1024 or above 32767. Raises Unreadable for bits that contradict
    themselves.
    """
    units: np.ndarray = cv2.LUT(raw, _table(coding))
    return units


@lru_cache(maxsize=32)
def _table(coding: Coding) -> np.ndarray:
    levels = np.arange(2**coding.allocated, dtype=np.uint32)
    stored = stored_integers(
        levels, allocated=coding.allocated, bits=coding.bits, high=coding.high, signed=coding.signed
    )
    units = stored * coding.slope + coding.intercept
    in_body = (units >= BODY[0]) & (units <= BODY[1])
    units[_is_padding(levels, stored, coding, in_body=in_body) | ~(units >= AIR) | (units > MOST)] = AIR
    whole = np.array_equal(units, np.rint(units))
    return units.astype(np.int16 if whole else np.float32)


def _is_padding(levels: np.ndarray, stored: np.ndarray, coding: Coding, *, in_body: np.ndarray) -> np.ndarray:
    """Which levels are padding; those that mean what bodies have only by bits above the stored ones."""
    padding: np.ndarray = (levels == NO_PIXEL) & (coding.high < coding.allocated - 1)
    if coding.padding is None:
        return padding
    span = 2.0**coding.allocated
    ends = [as_stored(value, allocated=coding.allocated, signed=coding.signed) for value in coding.padding]
    plain = np.where(levels >= span / 2, levels - span, levels) if coding.signed else levels
    least, most = min(ends), max(ends)
    padding |= (stored >= least) & (stored <= most) & ~in_body
    padding |= (plain >= least) & (plain <= most) & (plain != stored)
    return padding
