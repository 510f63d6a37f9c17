"""The header of one DICOM file in a folder: a CT slice, a faulty one, or something else that lies beside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from privrad.imaging import allowed
from privrad.imaging.elements import (
    SCREENS,
    known,
    numbers,
    picture_words,
    place,
    set_aside,
    sop_class,
    text,
    values,
    whole,
)
from privrad.imaging.hounsfield import Coding, hounsfield
from privrad.imaging.quiet import quiet
from privrad.imaging.stored import GREY, stored_pixels, transfer_syntax
from privrad.imaging.unreadable import Unreadable
from privrad.imaging.walk import UNDEFINED, Header
from privrad.imaging.walk import read_header as read_elements

LARGEST = 4096 * 4096
_ENHANCED = (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_SCOUTS = {"LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"}
_PICTURES = {"MIP", "MAXIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION", "3D", "VRT", "SSD", "RENDERED", *SCREENS}
_PIXEL_DATA = 0x7FE00010
_WANTED = allowed.tags(allowed.SLICE)
_SCALES = ("", "HU", "US")
"""The rescale types taken as Hounsfield units: that of CT where none is given, and the unspecified one, whose values
`plausible.check` judges; others name another quantity, or units with a material taken out (HU_MOD)."""


@dataclass(frozen=True)
class Slice:
    """A CT slice by its header; lengths in millimetres, `spacing` from row to row and from column to column.

    `offset` is where its pixels begin in the file, little-endian and unpacked, or None where they must be decoded.
    """

    path: Path
    series: str
    number: str
    frame: str
    acquisition: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    coding: Coding
    offset: int | None


@dataclass(frozen=True)
class Other:
    """A file that is no CT slice, with the reason; `series` is given where it should be one of that series.

    The series is "" where that cannot be told.
    """

    path: Path
    error: Unreadable
    series: str | None = None


def read_header(path: Path, *, trusted: bool = False) -> Slice | Other:
    """What one file of a folder is, by its header, of which nothing is read but what `allowed` names.

    Raises Unreadable for an empty file and for a DICOM header that is cut short or damaged: these may be slices, but of
    which series nobody can tell.
    """
    try:
        with path.open("rb") as stream, quiet():
            return _read(path, stream, trusted=trusted)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{path.name}: {error.remedy}") from None
    except OSError as error:
        what = error.strerror or "its DICOM header is damaged"
        remedy = f"{path.name}: {what}; copy or export the file again, or take it out of the folder"
        raise Unreadable("unreadable_file", remedy) from None


def read_pixels(one: Slice) -> np.ndarray:
    """Hounsfield units of a slice, int16 or float32 [rows, columns]; raises Unreadable."""
    if one.offset is None:
        with one.path.open("rb") as stream, quiet():
            stored = stored_pixels(read_elements(stream, _WANTED))
        raw = stored.view(f"u{stored.itemsize}")
        if raw.itemsize != one.coding.allocated // 8:
            raise Unreadable("unreadable_file", f"it decodes to {8 * raw.itemsize} bits a pixel; export it again")
    else:
        count = one.rows * one.columns
        raw = np.fromfile(one.path, f"<u{one.coding.allocated // 8}", count, offset=one.offset)
        if raw.size != count:
            raise Unreadable("unreadable_file", "its pixels are cut short; copy or export the file again")
        raw = raw.reshape(one.rows, one.columns)
    if raw.shape != (one.rows, one.columns):
        raise Unreadable("unreadable_file", f"it decodes to {raw.shape} pixels; export it again")
    return hounsfield(raw, one.coding)


def _read(path: Path, stream: BinaryIO, *, trusted: bool) -> Slice | Other:
    head = stream.read(132)
    if not any(head):
        raise Unreadable("unreadable_file", "it is empty or begins with zeros; copy it again, or take it away")
    bare = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00"
    if not bare and not head.endswith(b"DICM"):
        return Other(path, Unreadable("unknown_format", "it is not DICOM"))
    stream.seek(0)
    header = read_elements(stream, _WANTED)
    file = header.elements
    if header.cut or (not sop_class(file) and not text(file, "Modality")):
        raise Unreadable("unreadable_file", "its DICOM header is cut short, or says not what it is; copy it again")
    aside = _beside(file)
    if aside:
        return Other(path, aside)
    try:
        return _slice(path, header, trusted=trusted)
    except Unreadable as error:
        return Other(path, Unreadable(error.reason, f"{path.name}: {error.remedy}"), text(file, "SeriesInstanceUID"))


def _beside(file: Dataset) -> Unreadable | None:
    """Why a file is not one of the slices of any volume, or None where it should be one."""
    kind, modality = sop_class(file), text(file, "Modality")
    if modality not in ("CT", ""):
        return Unreadable("not_ct", f"its modality is {known(file)}; only CT is read")
    if kind not in ("", uid.CTImageStorage, *_ENHANCED):
        name = uid.UID(kind).name if uid.UID(kind).type == "SOP Class" else "an object of the maker's own"
        return Unreadable("secondary_image", f"it is {name}, not a CT slice as it was reconstructed; name its source")
    words = picture_words(file)
    if words & _SCOUTS:
        return Unreadable("localizer", "it is a localizer, an overview to plan the scan; name the scan itself")
    if words & _PICTURES:
        return Unreadable("secondary_image", "it is a projection or a captured screen; name the slices it was made of")
    return None


def _slice(path: Path, header: Header, *, trusted: bool) -> Slice:
    file = header.elements
    aside = set_aside(file, trusted=trusted)
    if aside:
        raise aside
    _check_picture(file)
    rows, columns = (whole(file, keyword) for keyword in ("Rows", "Columns"))
    if rows < 1 or columns < 1:
        raise Unreadable("unreadable_file", f"{rows} rows and {columns} columns; export the slice again")
    if rows * columns > LARGEST:
        raise Unreadable("too_large", f"{rows} x {columns} exceeds {LARGEST} pixels; export it at a lower resolution")
    coding = _coding(file)
    return Slice(
        path=path,
        series=text(file, "SeriesInstanceUID"),
        number=_number(file),
        frame=text(file, "FrameOfReferenceUID"),
        acquisition=text(file, "AcquisitionNumber"),
        image_type=values(file, "ImageType"),
        rows=rows,
        columns=columns,
        position=place(file, "ImagePositionPatient", count=3),
        orientation=place(file, "ImageOrientationPatient", count=6),
        spacing=place(file, "PixelSpacing", count=2),
        coding=coding,
        offset=_offset(header, rows * columns * coding.allocated // 8),
    )


def _check_picture(file: Dataset) -> None:
    """Refuse what is no single grey picture in Hounsfield units."""
    frames = numbers(file, "NumberOfFrames")
    if sop_class(file) in _ENHANCED or (frames and frames[0] > 1):
        remedy = "it holds several frames (an enhanced or 4D object); export it as a file for each slice, or as NIfTI"
        raise Unreadable("several_frames", remedy)
    colours, kind = numbers(file, "SamplesPerPixel"), text(file, "PhotometricInterpretation")
    if kind not in ("", *GREY) or (colours and colours[0] != 1):
        raise Unreadable("colour_image", "its pixels are colours; name the grey slices")
    if text(file, "RescaleType").upper() not in _SCALES:
        remedy = "its rescale gives another quantity than HU; export slices in Hounsfield units"
        raise Unreadable("not_hounsfield", remedy)
    if "ModalityLUTSequence" in file and file.ModalityLUTSequence:
        raise Unreadable("not_hounsfield", "it has a modality table in place of a rescale; export it with a rescale")


def _coding(file: Dataset) -> Coding:
    allocated, bits = whole(file, "BitsAllocated"), whole(file, "BitsStored")
    if allocated not in (8, 16):
        raise Unreadable("unreadable_file", f"{allocated} bits a pixel; CT has 8 or 16; export the slice again")
    rescale = [numbers(file, keyword) for keyword in ("RescaleSlope", "RescaleIntercept")]
    if not all(rescale):
        lack = "it lacks RescaleSlope or RescaleIntercept, without which no Hounsfield units follow; export it again"
        raise Unreadable("not_hounsfield", lack)
    slope, intercept = rescale[0][0], rescale[1][0]
    if not 0 < slope <= 100 or not abs(intercept) <= 1e5:
        remedy = f"its rescale is {slope:g} x + {intercept:g}; slopes of CT are above 0, up to 100; export it again"
        raise Unreadable("not_hounsfield", remedy)
    first, last = (numbers(file, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    return Coding(
        allocated=allocated,
        bits=bits,
        high=whole(file, "HighBit") if numbers(file, "HighBit") else bits - 1,
        signed=whole(file, "PixelRepresentation") == 1,
        slope=slope,
        intercept=intercept,
        padding=(first[0], (last or first)[0]) if first else None,
    )


def _number(file: Dataset) -> str:
    """The number of the series, for a message; "" where something else stands there."""
    given = text(file, "SeriesNumber")
    return given if given.isascii() and given.isdecimal() else ""


def _offset(header: Header, expected: int) -> int | None:
    """Where plain pixels begin in the file, or None where they are coded."""
    pixels, syntax = header.pixels, transfer_syntax(header.elements)
    if pixels is None or pixels.tag != _PIXEL_DATA:
        raise Unreadable("no_pixel_data", "it has no pixels, or they are cut off; copy or export the file again")
    if syntax.is_deflated or syntax.is_encapsulated or not syntax.is_little_endian:
        return None
    size = os.fstat(header.stream.fileno()).st_size
    if pixels.length == UNDEFINED or pixels.length < expected or pixels.start + expected > size:
        remedy = f"it should hold {expected} bytes of pixels, and holds fewer; copy or export the file again"
        raise Unreadable("unreadable_file", remedy)
    return pixels.start
