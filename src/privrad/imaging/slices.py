"""The header of one DICOM file in a folder: a CT slice, a faulty one, or something else that lies beside."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import dcmread, uid
from pydicom.dataset import FileDataset

from privrad.imaging.dicom import GREY, stored_pixels, transfer_syntax
from privrad.imaging.elements import image_type, is_cut, numbers, place, sop_class, tag, text, whole
from privrad.imaging.hounsfield import Coding, hounsfield
from privrad.imaging.unreadable import Unreadable

LARGEST = 4096 * 4096
_ENHANCED = (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_SCOUTS = {"LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"}
_PICTURES = {"MIP", "MAXIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION", "3D", "VRT", "SSD", "RENDERED", "SCREEN"}
_KEYWORDS = [
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "ModalityLUTSequence"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("RescaleType", "AcquisitionNumber"),
]
_TAGS = [tag(keyword) for keyword in _KEYWORDS]
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED = 0xFFFFFFFF
_SCALES = ("", "HU", "US")
"""The rescale types taken as Hounsfield units: that of CT where none is given, and the unspecified one, whose values
`plausible.check` judges; others name another quantity, or units with a material taken out (HU_MOD)."""
log = logging.getLogger("privrad")


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


def read_header(path: Path) -> Slice | Other:
    """What one file of a folder is, by its header.

    Raises Unreadable for an empty file and for a DICOM header that is cut short or damaged: these may be slices, but of
    which series nobody can tell.
    """
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(path, stream)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{path.name}: {error.remedy}") from None
    except (NameError, ImportError):
        raise
    except Exception as error:
        log.debug("%s", path.name, exc_info=True)
        what = error.strerror if isinstance(error, OSError) and error.strerror else "its DICOM header is damaged"
        remedy = f"{path.name}: {what}; copy or export the file again, or take it out of the folder"
        raise Unreadable("unreadable_file", remedy) from error


def read_pixels(one: Slice) -> np.ndarray:
    """Hounsfield units of a slice, int16 or float32 [rows, columns]; raises Unreadable, or as pydicom does."""
    if one.offset is None:
        with one.path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = dcmread(stream, force=True)
            if "PixelData" not in file:
                raise Unreadable("unreadable_file", "its pixels are cut short; copy or export the file again")
            stored = stored_pixels(file)
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


def _read(path: Path, stream: BinaryIO) -> Slice | Other:
    head = stream.read(132)
    if not any(head):
        raise Unreadable("unreadable_file", "it is empty or begins with zeros; copy it again, or take it away")
    bare = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00"
    if not bare and not head.endswith(b"DICM"):
        return Other(path, Unreadable("unknown_format", "it is not DICOM"))
    stream.seek(0)
    file = dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS, force=bare)
    if is_cut(file, stream) or (not sop_class(file) and not text(file, "Modality")):
        raise Unreadable("unreadable_file", "its DICOM header is cut short, or says not what it is; copy it again")
    aside = _beside(file)
    if aside:
        return Other(path, aside)
    try:
        return _slice(path, file, stream)
    except Unreadable as error:
        return Other(path, Unreadable(error.reason, f"{path.name}: {error.remedy}"), text(file, "SeriesInstanceUID"))


def _beside(file: FileDataset) -> Unreadable | None:
    """Why a file is not one of the slices of any volume, or None where it should be one."""
    kind, modality = sop_class(file), text(file, "Modality")
    if modality not in ("CT", ""):
        return Unreadable("not_ct", f"its modality is {modality}; only CT is read")
    if kind not in ("", uid.CTImageStorage, *_ENHANCED):
        name = uid.UID(kind).name if uid.UID(kind).type == "SOP Class" else "an object of the maker's own"
        return Unreadable("secondary_image", f"it is {name}, not a CT slice as it was reconstructed; name its source")
    words = {word for value in image_type(file) for word in value.replace("_", " ").split()}
    if words & _SCOUTS:
        return Unreadable("localizer", "it is a localizer, an overview to plan the scan; name the scan itself")
    if words & _PICTURES:
        return Unreadable("secondary_image", "it is a projection or a captured screen; name the slices it was made of")
    return None


def _slice(path: Path, file: FileDataset, stream: BinaryIO) -> Slice:
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
        number=text(file, "SeriesNumber"),
        frame=text(file, "FrameOfReferenceUID"),
        acquisition=text(file, "AcquisitionNumber"),
        image_type=image_type(file),
        rows=rows,
        columns=columns,
        position=place(file, "ImagePositionPatient", count=3),
        orientation=place(file, "ImageOrientationPatient", count=6),
        spacing=place(file, "PixelSpacing", count=2),
        coding=coding,
        offset=_offset(file, stream, rows * columns * coding.allocated // 8),
    )


def _check_picture(file: FileDataset) -> None:
    """Refuse what is no single grey picture in Hounsfield units."""
    frames = numbers(file, "NumberOfFrames")
    if sop_class(file) in _ENHANCED or (frames and frames[0] > 1):
        remedy = "it holds several frames (an enhanced or 4D object); export it as a file for each slice, or as NIfTI"
        raise Unreadable("several_frames", remedy)
    colours, kind = numbers(file, "SamplesPerPixel"), text(file, "PhotometricInterpretation")
    if kind not in ("", *GREY) or (colours and colours[0] != 1):
        raise Unreadable("colour_image", f"its pixels are {kind or 'of several colours'}; name the grey slices")
    scale = text(file, "RescaleType").upper()
    if scale not in _SCALES:
        remedy = f"its rescale gives {scale!r}, not HU; export slices in Hounsfield units"
        raise Unreadable("not_hounsfield", remedy)
    if "ModalityLUTSequence" in file and file.ModalityLUTSequence:
        raise Unreadable("not_hounsfield", "it has a modality table in place of a rescale; export it with a rescale")


def _coding(file: FileDataset) -> Coding:
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


def _offset(file: FileDataset, stream: BinaryIO, expected: int) -> int | None:
    """Where plain pixels begin, or None where they are coded; `stream` stands at the first element not read."""
    syntax = transfer_syntax(file)
    if syntax.is_deflated:
        return None
    start_tag = stream.read(4)
    if not syntax.is_little_endian or syntax.is_encapsulated:
        if start_tag not in (_PIXEL_DATA, b"\x7f\xe0\x00\x10"):
            raise Unreadable("no_pixel_data", "it has no pixels, or they are cut off; copy or export the file again")
        return None
    length = stream.read(4 if syntax.is_implicit_VR else 8)[-4:]
    if start_tag != _PIXEL_DATA or len(length) < 4:
        raise Unreadable("no_pixel_data", "it has no pixels, or they are cut off; copy or export the file again")
    size, start = int.from_bytes(length, "little"), stream.tell()
    if size == _UNDEFINED or size < expected or start + expected > os.fstat(stream.fileno()).st_size:
        remedy = f"it should hold {expected} bytes of pixels, and holds fewer; copy or export the file again"
        raise Unreadable("unreadable_file", remedy)
    return start
