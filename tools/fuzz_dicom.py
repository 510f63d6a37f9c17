"""Hostile DICOM: a file of damaged or made-up elements, and a folder of CT slices, each a function of its generator."""

from __future__ import annotations

import io
import os
import random
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from PIL import Image
from pydicom import uid
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

_NATIVE = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)
_DECODED = (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1, uid.JPEGBaseline8Bit, uid.JPEGLSLossless)
_OTHERS = (*uid.AllTransferSyntaxes, "1.2.840.10008.1.2.4.999", "", "x", "1.2.840.10008.1.2\0")
_VRS = [b"AE", b"AT", b"CS", b"DA", b"DS", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OB", b"OW", b"OF", b"PN", b"SH"]
_VRS += [
    b"SQ",
    b"SQ",
    b"SS",
    b"SL",
    b"TM",
    b"UC",
    b"UI",
    b"UL",
    b"UN",
    b"UN",
    b"UR",
    b"US",
    b"UT",
    b"OL",
    b"??",
    b"\0\0",
]
_LONG = {b"OB", b"OW", b"OF", b"OL", b"OD", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"}
_LENGTHS = [0, 1, 3, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
_TAGS = sorted(tag for tag in DicomDictionary if 0x0002 < tag >> 16 < 0xFFFE)
_UNDEFINED, _ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFFFFFF, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_NUMBERS = [b"", b"0", b"-1", b"1e308", b"nan", b"inf", b"9" * 40, b"1\\2\\3", b"x", b"\xff\xfe", b"1.5", b"=1+1"]


def damaged(chosen: random.Random, content: bytes) -> bytes:
    """The bytes with a few flipped, cut off, taken out, doubled, or overwritten by a number of lengths."""
    data = bytearray(content)
    for _ in range(chosen.choice((1, 1, 2, 5))):
        at = chosen.randrange(min(len(data), chosen.choice((700, len(data), len(data)))) or 1) if data else 0
        how = chosen.randrange(9)
        if how > 4 and data:
            data[at] ^= 1 << chosen.randrange(8)
        elif how == 0:
            data[at : at + 4] = chosen.choice(_LENGTHS).to_bytes(4, chosen.choice(("little", "big")))
        elif how == 1:
            del data[at : at + chosen.choice((1, 2, 8, 100))]
        elif how == 2:
            data[at:at] = data[at : at + chosen.choice((1, 8, 300))]
        elif how == 3:
            data[at:at] = chosen.randbytes(chosen.choice((1, 4, 16)))
        else:
            del data[at:]
    return bytes(data)


@dataclass(frozen=True)
class _Coding:
    """How elements are written."""

    explicit: bool = True
    big: bool = False

    def element(self, tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
        order = ">" if self.big else "<"
        size = len(value) if length is None else length
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit or tag >> 16 == 0xFFFE:
            return head + struct.pack(order + "I", size) + value
        if vr in _LONG:
            return head + vr + b"\0\0" + struct.pack(order + "I", size) + value
        return head + vr + struct.pack(order + "H", size & 0xFFFF) + value


def dicom(chosen: random.Random, real: Sequence[bytes]) -> bytes:
    """A DICOM file: a valid one that is damaged, or one of elements from the dictionary around a picture."""
    if chosen.random() < 0.45:
        return damaged(chosen, chosen.choice([*_valid(), *real]))
    usual = (*_NATIVE, uid.DeflatedExplicitVRLittleEndian, *_DECODED)
    syntax = chosen.choice(usual if chosen.random() < 0.85 else _OTHERS)
    coding = _Coding(explicit=syntax != uid.ImplicitVRLittleEndian, big=syntax == uid.ExplicitVRBigEndian)
    if chosen.random() < 0.1:
        coding = _Coding(explicit=chosen.random() < 0.5, big=chosen.random() < 0.5)
    body = _dataset(chosen, coding, syntax)
    if syntax == uid.DeflatedExplicitVRLittleEndian and chosen.random() < 0.9:
        body += bytes(chosen.choice((0, 0, 10**7)))
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = _Coding().element(0x00020010, b"UI", name)
    count = chosen.choice((len(meta), len(meta), 0, 0xFFFFFFFF))
    head = bytes(128) + b"DICM" + _Coding().element(0x00020000, b"UL", struct.pack("<I", count)) + meta
    whole = (head if chosen.random() < 0.95 else b"") + body
    return damaged(chosen, whole) if chosen.random() < 0.15 else whole


def _dataset(chosen: random.Random, coding: _Coding, syntax: str) -> bytes:
    """Elements of a picture, some odd or missing, among others of any kind, mostly in order."""
    rows, columns = chosen.choice((*[(32, 32)] * 9, (13, 17), (1, 1), (0, 4), (65535, 65535)))
    bits = 8 if syntax == uid.JPEGBaseline8Bit else chosen.choice((*[16] * 9, 8, 1, 12, 32, 64, 0))
    order = ">H" if coding.big else "<H"
    numbers = {0x00280002: chosen.choice((*[1] * 9, 3, 0)), 0x00280010: rows, 0x00280011: columns, 0x00280100: bits}
    numbers |= {0x00280101: bits, 0x00280102: bits - 1 if bits else 9, 0x00280103: chosen.choice((0, 0, 0, 0, 1, 7))}
    parts = {tag: (b"US", struct.pack(order, number)) for tag, number in numbers.items()}
    kinds = (*[b"MONOCHROME2 "] * 9, b"MONOCHROME1 ", b"RGB ", b"PALETTE COLOR ", b"YBR_FULL", b"")
    parts[0x00280004] = (b"CS", chosen.choice(kinds))
    parts[0x00080016] = (
        b"UI",
        chosen.choice((b"1.2.840.10008.5.1.4.1.1.1.1.1\0", b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2")),
    )
    parts[0x00080060] = (b"CS", chosen.choice((b"DX", b"CR", b"CT", b"")))
    for tag in chosen.sample(
        (0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00280008, 0x00280120), chosen.choice((0, 0, 2))
    ):
        parts[tag] = (b"DS", chosen.choice(_NUMBERS))
    for tag in chosen.sample(sorted(parts), chosen.choice((*[0] * 6, 1, 2))):
        parts[tag] = (chosen.choice(_VRS), chosen.choice(_NUMBERS))
    if chosen.random() < 0.1:
        del parts[chosen.choice(sorted(parts))]
    written = [(tag, coding.element(tag, vr, value)) for tag, (vr, value) in parts.items()]
    written += [_any(chosen, coding) for _ in range(chosen.choice((0, 0, 2, 6)))]
    if chosen.random() < 0.9:
        written.sort(key=lambda element: element[0])
    return b"".join(content for _, content in written) + _pixels(chosen, coding, rows * columns * bits // 8, syntax)


def _any(chosen: random.Random, coding: _Coding) -> tuple[int, bytes]:
    tag = chosen.choice((*chosen.choices(_TAGS, k=3), chosen.randrange(1 << 32)))
    vr = chosen.choice(_VRS)
    if vr == b"SQ":
        return tag, _sequence(chosen, coding, tag, depth=chosen.choice((1, 2, 8, 200)))
    value = chosen.choice((chosen.choice(_NUMBERS), chosen.randbytes(chosen.randrange(40))))
    length = chosen.choice(_LENGTHS) if chosen.random() < 0.05 else None
    return tag, coding.element(tag, vr, value, length=length)


def _sequence(chosen: random.Random, coding: _Coding, tag: int, *, depth: int) -> bytes:
    """A sequence of one item, `depth` deep, of defined or undefined length, at times without its end."""
    content = coding.element(0x00100010, b"PN", b"Doe^Jane")
    closed, undefined = chosen.random() < 0.9, chosen.random() < 0.6
    for _ in range(depth):
        if undefined:
            ends = [coding.element(end, b"", b"") if closed else b"" for end in (_ITEM_END, _SEQUENCE_END)]
            item = coding.element(_ITEM, b"", content, length=_UNDEFINED) + ends[0]
            content = coding.element(tag, b"SQ", item, length=_UNDEFINED) + ends[1]
        else:
            content = coding.element(tag, b"SQ", coding.element(_ITEM, b"", content))
    return content


def _pixels(chosen: random.Random, coding: _Coding, count: int, syntax: str) -> bytes:
    """Pixel data: as many bytes as there should be, fewer, or more; or fragments, whole, damaged or none."""
    if (syntax in _DECODED) == (chosen.random() < 0.1):
        data = chosen.randbytes(max(0, min(count, 4096) + chosen.choice((*[0] * 6, -1, -100, 50))))
        length = chosen.choice(_LENGTHS) if chosen.random() < 0.1 else None
        return coding.element(0x7FE00010, b"OW", data, length=length)
    frames = _codestreams()
    frame = frames.get(syntax) if chosen.random() < 0.9 else None
    frame = frame or chosen.choice(list(frames.values()))
    if chosen.random() < 0.5:
        frame = damaged(chosen, frame)
    cut = chosen.randrange(len(frame) + 1) if chosen.random() < 0.2 else len(frame)
    fragments = [chosen.choice((b"", b"", bytes(4), chosen.randbytes(8))), frame[:cut], frame[cut:]]
    items = b"".join(coding.element(_ITEM, b"", one + b"\0" * (len(one) % 2)) for one in fragments if one or cut)
    end = coding.element(_SEQUENCE_END, b"", b"") if chosen.random() < 0.9 else b""
    return coding.element(0x7FE00010, b"OB", items + end, length=_UNDEFINED)


def _picture(rows: int = 32, columns: int = 32) -> np.ndarray:
    down, across = np.mgrid[:rows, :columns]
    wave: np.ndarray = (2000 + 120 * down + 90 * across + 7 * (down * across % 11)).astype(np.uint16)
    return wave


def _image(pixels: np.ndarray, **elements: Any) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = uid.DigitalXRayImageStorageForPresentation, "1.2.3", "DX"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated = image.BitsStored = 8 * pixels.itemsize
    image.HighBit = image.BitsStored - 1
    image.WindowCenter, image.WindowWidth, image.PatientName = 3000, 2500, "Doe^Jane"
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    return image


def _written(image: Dataset) -> bytes:
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@cache
def _valid() -> tuple[bytes, ...]:
    """One picture as a DICOM file in several transfer syntaxes."""
    files = [_written(_image(_picture()))]
    for syntax in (uid.RLELossless, uid.JPEG2000Lossless):
        image = _image(_picture())
        image.compress(syntax, generate_instance_uid=False)
        files.append(_written(image))
    for syntax in (uid.DeflatedExplicitVRLittleEndian, uid.ImplicitVRLittleEndian):
        image = _image(_picture())
        image.file_meta.TransferSyntaxUID = syntax
        files.append(_written(image))
    lossless = _image(_picture(), PixelData=encapsulate([_lossless_jpeg()]))
    lossless.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    baseline = _image((_picture() >> 4).astype(np.uint8), PixelData=encapsulate([baseline_jpeg()]))
    baseline.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    return (*files, _written(lossless), _written(baseline))


@cache
def _codestreams() -> dict[str, bytes]:
    """The picture by transfer syntax."""
    frames = {uid.JPEGBaseline8Bit: baseline_jpeg(), uid.JPEGLosslessSV1: _lossless_jpeg(), "": bytes(64)}
    for syntax in (uid.RLELossless, uid.JPEG2000Lossless):
        image = _image(_picture())
        image.compress(syntax, encapsulate_ext=False, generate_instance_uid=False)
        frames[syntax] = bytes(image.PixelData[16:-8])
    return frames


@cache
def baseline_jpeg() -> bytes:
    """A small grey JPEG."""
    stream = io.BytesIO()
    Image.fromarray((_picture() >> 4).astype(np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@cache
def _lossless_jpeg() -> bytes:
    itk: Any = SimpleITK
    writer = itk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.dcm"
        writer.SetFileName(str(path))
        writer.Execute(itk.GetImageFromArray(_picture()))
        content = path.read_bytes()
    return content[content.index(b"\xff\xd8\xff") : content.rindex(b"\xff\xd9") + 2]


def series(chosen: random.Random, real: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """A folder of CT slices of which some are damaged, odd, doubled, missing, or something else."""
    files = [(f"{number:02d}", content) for number, content in enumerate(_slices())]
    if chosen.random() < 0.2:
        files = [(name, content) for name, content in files if chosen.random() < 0.9]
    for place in chosen.sample(range(len(files)), min(len(files), chosen.choice((0, 1, 1, 2, 9)))):
        files[place] = (files[place][0], damaged(chosen, files[place][1]))
    if chosen.random() < 0.4:
        files.append(("other", dicom(chosen, real)))
    if chosen.random() < 0.1:
        files.append((os.fsdecode(b"\xff\n=1+1"), chosen.choice((b"", b"text", *_slices()))))
    return files


@cache
def _slices() -> tuple[bytes, ...]:
    usual: dict[str, Any] = {"SOPClassUID": uid.CTImageStorage, "Modality": "CT", "SeriesInstanceUID": "1.2.9"}
    usual |= {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [3, 3], "FrameOfReferenceUID": "1.2.7"}
    usual |= {"RescaleSlope": 1, "RescaleIntercept": -1024, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
    body = np.where(np.indices((10, 10)).sum(axis=0) % 9 < 4, 100, 1064).astype(np.uint16)
    slices = []
    for number in range(9):
        one = _image(body + number, ImagePositionPatient=[0, 0, 4 * number], SOPInstanceUID=f"1.2.{number}", **usual)
        if number == 4:
            one.compress(uid.RLELossless, generate_instance_uid=False)
        slices.append(_written(one))
    return tuple(slices)
