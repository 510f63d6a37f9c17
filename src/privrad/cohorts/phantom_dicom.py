"""A drawn radiograph as a DICOM file, in the many ways in which hospitals store the same picture.

Read back by rescale, then VOI (window or LUT), then inversion of MONOCHROME1, each file gives its picture again.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from privrad.cohorts.drawing.canvas import Picture

Value: TypeAlias = str | int | float | tuple[str | int | float, ...] | bytes
Elements: TypeAlias = dict[str, Value]  # by keyword

_CLASSES = {"DX": "1.2.840.10008.5.1.4.1.1.1.1", "CR": "1.2.840.10008.5.1.4.1.1.1"}
_SYNTAXES = (ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless)
_SHARES = (0.90, 0.95, 1.0)  # of the syntaxes, cumulated; the compressed ones take several times as long
_LUT_ENTRIES = 2048


@dataclass(frozen=True)
class Storage:
    """How one picture is stored."""

    modality: str
    photometric: str
    bits: int
    syntax: str
    lut: bool
    rescale: tuple[float, float] | None  # slope, intercept


@dataclass(frozen=True)
class Header:
    """What the tags say of the examination."""

    patient: str
    study: str
    instance: int
    sex: str
    age: int
    day: date
    view: str
    entropy: Sequence[str]  # what the unique identifiers are made from


def draw_storage(rng: np.random.Generator) -> Storage:
    """One of the ways of storing, at random; a LUT comes without rescaling."""
    lut = bool(rng.random() < 0.35)
    rescale = None
    if rng.random() < 0.5 and not lut:
        rescale = ((0.25, 0.5, 1.0, 2.0)[rng.integers(4)], (-1024.0, -100.0, 0.0, 50.0)[rng.integers(4)])
    return Storage(
        modality=("DX", "CR")[rng.integers(2)],
        photometric=("MONOCHROME1", "MONOCHROME2")[rng.integers(2)],
        bits=(12, 14, 16)[rng.integers(3)],
        syntax=_SYNTAXES[int(np.searchsorted(_SHARES, rng.random(), side="right"))],
        lut=lut,
        rescale=rescale,
    )


def encode(picture: Picture, *, header: Header, storage: Storage, rng: np.random.Generator) -> bytes:
    """The bytes of a DICOM Part 10 file that shows `picture` (float32 in [0, 1], bright where dense)."""
    elements = _describe(header, storage)
    shown = 1 - picture if storage.photometric == "MONOCHROME1" else picture
    stored = _by_lut(elements, shown, storage, rng) if storage.lut else _by_window(elements, shown, storage, rng)
    _image(elements, stored, storage)
    content = _file(elements)
    return content if storage.syntax == ExplicitVRLittleEndian else _compressed(content, storage.syntax)


def _describe(header: Header, storage: Storage) -> Elements:
    day, hour = header.day.strftime("%Y%m%d"), f"{8 + header.instance % 10:02d}1500"
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "SOPClassUID": _CLASSES[storage.modality],
        "SOPInstanceUID": _uid("image", header, str(header.instance)),
        **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), day),
        **dict.fromkeys(("StudyTime", "ContentTime"), hour),
        **dict.fromkeys(("AccessionNumber", "ReferringPhysicianName", "PatientBirthDate"), ""),
        "Modality": storage.modality,
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "privrad phantom",
        "InstitutionName": "Phantom Hospital",
        "StudyDescription": "Chest, drawn by computer",
        "PatientName": f"PHANTOM^{header.patient}",
        "PatientID": header.patient,
        "PatientSex": header.sex,
        "PatientAge": f"{header.age:03d}Y",
        "BodyPartExamined": "CHEST",
        "ViewPosition": header.view,
        "PatientOrientation": ("L", "F"),
        "StudyInstanceUID": _uid("study", header),
        "SeriesInstanceUID": _uid("series", header, str(header.instance)),
        "StudyID": header.study,
        **dict.fromkeys(("SeriesNumber", "InstanceNumber"), header.instance),
        "BurnedInAnnotation": "NO",
    }


def _uid(kind: str, header: Header, *more: str) -> str:
    return generate_uid(entropy_srcs=[kind, *header.entropy, header.patient, header.study, *more])


def _image(elements: Elements, stored: NDArray[np.uint16], storage: Storage) -> None:
    spacing = round(430 / max(stored.shape), 4)
    elements |= {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": storage.photometric,
        "PresentationLUTShape": "INVERSE" if storage.photometric == "MONOCHROME1" else "IDENTITY",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        **dict.fromkeys(("PixelSpacing", "ImagerPixelSpacing"), (spacing, spacing)),
        "BitsAllocated": 16,
        "BitsStored": storage.bits,
        "HighBit": storage.bits - 1,
        "PixelRepresentation": 0,
        "PixelData": stored.astype("<u2").tobytes(),
    }


def _by_window(elements: Elements, shown: Picture, storage: Storage, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Stored values that a linear window (PS3.3 C.11.2.1.2.1) maps onto the picture."""
    top = 2**storage.bits - 1
    low, high = int(top * rng.uniform(0.02, 0.2)), int(top * rng.uniform(0.6, 0.97))
    slope, intercept = storage.rescale or (1.0, 0.0)
    if storage.rescale is not None:
        elements |= {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "US"}
    darkest, brightest = slope * low + intercept, slope * high + intercept
    elements["WindowCenter"] = (darkest + brightest) / 2 + 0.5
    elements["WindowWidth"] = brightest - darkest + 1
    stored: NDArray[np.uint16] = np.rint(low + shown * np.float32(high - low)).astype(np.uint16)
    return stored


def _by_lut(elements: Elements, shown: Picture, storage: Storage, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Stored values that a power curve in a VOI LUT maps onto the picture."""
    first = int(rng.integers(0, 2**storage.bits - _LUT_ENTRIES + 1))
    power, depth = rng.uniform(0.7, 1.5), (12, 16)[rng.integers(2)]
    table = np.rint(np.linspace(0, 1, _LUT_ENTRIES) ** power * (2**depth - 1)).astype(np.uint16)
    item = _coded({"LUTDescriptor": (_LUT_ENTRIES, first, depth), "LUTData": table.astype("<u2").tobytes()})
    elements["VOILUTSequence"] = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    stored: NDArray[np.uint16] = (first + np.rint(shown ** np.float32(1 / power) * (_LUT_ENTRIES - 1))).astype(
        np.uint16
    )
    return stored


def _file(elements: Elements) -> bytes:
    """An uncompressed DICOM file, as pydicom writes it in ten times the time."""
    meta = _coded(
        {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": elements["SOPClassUID"],
            "MediaStorageSOPInstanceUID": elements["SOPInstanceUID"],
            "TransferSyntaxUID": ExplicitVRLittleEndian,
            "ImplementationClassUID": PYDICOM_IMPLEMENTATION_UID,
            "ImplementationVersionName": f"PYDICOM {pydicom.__version__}",
        }
    )
    length = _coded({"FileMetaInformationGroupLength": struct.pack("<I", len(meta))})
    return bytes(128) + b"DICM" + length + meta + _coded(elements)


def _coded(elements: Elements) -> bytes:
    """Elements in the order of their tags, explicit VR, little endian; bytes are written as they are."""
    parts = []
    for (tag, kind), value in sorted((_element(keyword), value) for keyword, value in elements.items()):
        content = value if isinstance(value, bytes) else _text(kind, value)
        content += (b"\0" if kind in ("UI", "OB") else b" ") * (len(content) % 2)
        size = struct.pack("<xxI" if kind in ("OB", "OW", "SQ") else "<H", len(content))
        parts += [struct.pack("<HH", tag >> 16, tag & 0xFFFF), kind.encode(), size, content]
    return b"".join(parts)


def _text(kind: str, value: Value) -> bytes:
    values = value if isinstance(value, tuple) else (value,)
    return struct.pack(f"<{len(values)}H", *values) if kind == "US" else "\\".join(map(str, values)).encode()


@cache
def _element(keyword: str) -> tuple[int, str]:
    """The tag of a keyword, and how its value is written: the unsigned and the wider way where there are two."""
    tag = tag_for_keyword(keyword) or 0
    kind = dictionary_VR(tag)
    return tag, {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW"}.get(kind, kind)


def _compressed(content: bytes, syntax: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    plugin = "pydicom" if syntax == RLELossless else "pylibjpeg"
    dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
