"""From stored values to presentation values: DICOM PS3.3, sections C.7.6.3, C.11.1 and C.11.2."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydicom.dataset import Dataset

from privrad.imaging.unreadable import Unreadable

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def present(raw: np.ndarray, header: Dataset) -> np.ndarray:
    """Map raw pixels to presentation values, bright where the body is dense, float32 [rows, columns].

    `raw` holds unsigned integers of the allocated width, garbage above the stored bits allowed, or finite floats. In
    order: the stored bits with their sign, the modality table or rescale, the first VOI table or else the first window
    (to 0..1), and inversion where MONOCHROME1 or an INVERSE presentation shape (or both: once) asks for it.
    Padding becomes the darkest value that other pixels have. Raises Unreadable for a window or table that is not valid.
    """
    if raw.dtype.kind == "u" and raw.dtype.itemsize <= 2:
        allocated = 8 * raw.dtype.itemsize
        used = min(max(_bits(header)[1] + 1, 0), allocated)  # the bits above mean nothing, so that the table repeats
        values, padding = _map(_stored(np.arange(2**used, dtype=np.uint32), header), header)
        repeats = 2 ** (allocated - used)
        return _look_up(raw, np.tile(values.astype(np.float32), repeats), np.tile(padding, repeats))
    stored = _stored(raw, header) if raw.dtype.kind == "u" else raw.astype(np.float64)
    values, padding = _map(stored, header)
    if padding.any() and not padding.all():
        values[padding] = values[~padding].min()
    return values.astype(np.float32)


def _look_up(raw: np.ndarray, table: np.ndarray, padding: np.ndarray) -> np.ndarray:
    if padding.any():
        table[padding] = np.inf
        darkest = cv2.minMaxLoc(cv2.LUT(raw, table))[0]
        table[padding] = darkest if np.isfinite(darkest) else 0
    return cv2.LUT(raw, table)


def _stored(raw: np.ndarray, header: Dataset) -> np.ndarray:
    (bits, high), signed = _bits(header), header.PixelRepresentation == 1
    return stored_integers(raw, allocated=int(header.BitsAllocated), bits=bits, high=high, signed=signed)


def _bits(header: Dataset) -> tuple[int, int]:
    """How many bits are stored, and the place of the highest of them."""
    bits = int(header.BitsStored)
    return bits, int(header.get("HighBit", bits - 1))


def stored_integers(raw: np.ndarray, *, allocated: int, bits: int, high: int, signed: bool) -> np.ndarray:
    """The integers in the stored bits of unsigned ones of the allocated width, with their sign, as float64.

    Raises Unreadable for bits that the allocated width does not have.
    """
    shift = high + 1 - bits
    if not 1 <= bits <= allocated or shift < 0 or high >= allocated:
        said = f"{bits} bits stored of {allocated}, the highest at {high}"
        raise Unreadable("unreadable_file", f"the header contradicts itself: {said}; export the image again")
    values = ((raw >> np.uint32(shift)) & np.uint32(2**bits - 1)).astype(np.float64)
    if signed:
        values[values >= 2 ** (bits - 1)] -= 2**bits
    return values


def _map(stored: np.ndarray, header: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Presentation values of stored ones, and which of them are padding."""
    values = _interest(_modality(stored, header), header)
    if header.PhotometricInterpretation == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE":
        values = values.min() + values.max() - values
    return values, _padding(stored, header)


def _padding(stored: np.ndarray, header: Dataset) -> np.ndarray:
    first = _number(header, "PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    last = _number(header, "PixelPaddingRangeLimit")
    allocated, signed = int(header.BitsAllocated), header.get("PixelRepresentation") == 1
    ends = [as_stored(value, allocated=allocated, signed=signed) for value in (first, first if last is None else last)]
    return (stored >= min(ends)) & (stored <= max(ends))


def as_stored(value: float, *, allocated: int, signed: bool) -> float:
    """A padding value written with the other signedness than the pixels, brought to theirs."""
    span = 2.0**allocated
    if signed:
        return value - span if value >= span / 2 else value
    return value + span if value < 0 else value


def _modality(values: np.ndarray, header: Dataset) -> np.ndarray:
    tables = header.get("ModalityLUTSequence")
    if tables:
        return _through_table(values, tables[0])
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    return values * (1.0 if slope is None else slope) + (intercept or 0.0)


def _interest(values: np.ndarray, header: Dataset) -> np.ndarray:
    tables = header.get("VOILUTSequence")
    if tables:
        return _through_table(values, tables[0])
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if centre is None or width is None:
        return values
    function = str(header.get("VOILUTFunction") or "LINEAR")
    return window(values, centre=centre, width=width, function=function if function in _FUNCTIONS else "unknown")


def window(values: np.ndarray, *, centre: float, width: float, function: str) -> np.ndarray:
    """Map values to 0..1 by a window, PS3.3 C.11.2.1.2 and C.11.2.1.3.

    `function` is LINEAR (width at least 1), LINEAR_EXACT or SIGMOID (width above 0). Raises Unreadable otherwise.
    """
    if not np.isfinite([centre, width]).all() or width < (1 if function == "LINEAR" else 1e-12):
        raise Unreadable("invalid_window", f"window centre {centre:g}, width {width:g} ({function}); correct it")
    if function == "LINEAR" and width == 1:
        return np.where(values > centre - 0.5, 1.0, 0.0)
    if function == "LINEAR":
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    raise Unreadable("invalid_window", f"VOI LUT function {function!r}; {', '.join(_FUNCTIONS)} are known")


def _through_table(values: np.ndarray, item: Dataset) -> np.ndarray:
    """Values through a lookup table, PS3.3 C.11.1.1: what lies beyond its ends takes the entry at that end."""
    count, first = (int(part) for part in item.LUTDescriptor[:2])
    count = (count & 0xFFFF) or 2**16
    if first >= 2**15 and values.min() < 0:
        first -= 2**16
    entries = _entries(item.LUTData, count)
    places = np.clip(np.rint(values - first), 0, count - 1).astype(np.intp)
    mapped: np.ndarray = entries[places]
    return mapped


def _entries(data: Any, count: int) -> np.ndarray:
    """The entries of a table, from 16-bit words, packed bytes or pydicom's list."""
    if isinstance(data, bytes):
        entries = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1").astype(np.float64)
    else:
        words = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
        entries = (words if words.size >= count else words.astype("<u2").view("u1")).astype(np.float64)
    if entries.size < count:
        raise Unreadable("invalid_table", f"a lookup table has {entries.size} of {count} entries; export it again")
    return entries[:count]


def _number(header: Dataset, keyword: str) -> float | None:
    """The first value of an element, or None where it is absent or empty."""
    value: Any = header.get(keyword)
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return None if value in (None, "", b"") else float(value)
    return float(value[0]) if len(value) else None
