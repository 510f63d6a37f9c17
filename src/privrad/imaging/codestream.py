"""The compressed pixels of a DICOM file: their fragments, and what their own header declares."""

from __future__ import annotations

from dataclasses import dataclass

from privrad.imaging.unreadable import Unreadable
from privrad.imaging.walk import ITEM, SEQUENCE_END, UNDEFINED, Header

_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\0\0\0\x0cjP  "
_NO_FRAME = (0xC4, 0xC8, 0xCC)
_JPEG_LS = 0xF7
_HEADER = 2**18
_MOST_FRAGMENTS = 2**16


@dataclass(frozen=True)
class Codestream:
    """What a compressed picture says of itself; `bits` are those of one sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def frame(header: Header, *, most: int) -> bytes:
    """The fragments of the one compressed picture, joined.

    Raises Unreadable where they are cut short, are no fragments, or have more than `most` bytes.
    """
    stream, pixels = header.stream, header.pixels
    parts: list[bytes] = []
    if pixels is None or pixels.length != UNDEFINED:
        remedy = "its pixels are not compressed, but the header says so; export or copy the file again"
        raise Unreadable("unreadable_file", remedy)
    stream.seek(pixels.start)
    while (head := stream.read(8)) and len(parts) <= _MOST_FRAGMENTS and most >= 0:
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:], "little")
        if tag == SEQUENCE_END:
            return b"".join(parts[1:])  # the first is a table of offsets
        part = stream.read(min(length, most + 1))
        if tag != ITEM or len(part) < length <= most:
            break
        parts.append(part)
        most -= length
    if head and (most < 0 or len(parts) > _MOST_FRAGMENTS):
        remedy = "its compressed pixels are several times larger than the picture; export it again"
        raise Unreadable("too_large", remedy)
    raise Unreadable("unreadable_file", "its compressed pixels are cut short; export or copy the file again")


def codestream(data: bytes) -> Codestream | None:
    """What a JPEG, JPEG-LS or JPEG 2000 codestream declares, or None for another coding."""
    data = data[:_HEADER]
    start = data.find(_JPEG_2000_START, 0, 4096) if data.startswith(_JP2_BOX) else 0
    if start >= 0 and data.startswith(_JPEG_2000_START, start):
        return _jpeg_2000(data[start:])
    return _jpeg(data)


def _jpeg_2000(data: bytes) -> Codestream | None:
    samples = int.from_bytes(data[40:42], "big")
    depths = data[42 : 42 + 3 * samples : 3]
    if not 0 < samples == len(depths):
        return None
    right, bottom, left, top = (int.from_bytes(data[at : at + 4], "big") for at in range(8, 24, 4))
    return Codestream(bottom - top, right - left, samples, max((depth & 127) + 1 for depth in depths))


def _jpeg(data: bytes) -> Codestream | None:
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            rows, columns = (int.from_bytes(data[place : place + 2], "big") for place in (at + 5, at + 7))
            return Codestream(rows, columns, data[at + 9], data[at + 4])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
