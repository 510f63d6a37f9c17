"""Hostile files by structure, each a function of its seed: DICOM, NIfTI, PNG, JPEG, and folders of CT slices."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import nibabel
import numpy as np

from tools.fuzz_dicom import baseline_jpeg, damaged, dicom, series

Made = bytes | list[tuple[str, bytes]]
"""The bytes of a file, or the names and bytes of the files of a folder."""


@dataclass(frozen=True)
class Kind:
    """A kind of input: how often it is drawn, how it is made, and whether it is read as a scan."""

    share: int
    make: Callable[[random.Random, Sequence[bytes]], Made]
    scan: bool


def made(seed: int, number: int, *, real: Sequence[bytes] = ()) -> tuple[str, Kind, Made]:
    """The input of this number: the name of its kind, the kind, and what it holds; `real` are small DICOM files."""
    chosen = random.Random(f"{seed}/{number}")
    name = chosen.choices(list(KINDS), [kind.share for kind in KINDS.values()])[0]
    return name, KINDS[name], KINDS[name].make(chosen, real)


def nifti(chosen: random.Random, _real: Sequence[bytes]) -> bytes:
    """A NIfTI file whose header contradicts itself, is damaged, or whose gzip is more than the header says."""
    kind: Any = chosen.choice((nibabel.Nifti1Image, nibabel.Nifti1Image, nibabel.Nifti2Image))
    dtype = chosen.choice((np.int16, np.uint8, np.float32, np.float64))
    values = np.where(np.indices((9, 9, 9)).sum(axis=0) % 9 < 4, -900, 40).astype(dtype)
    content = bytearray(kind(values, np.diag([-2.0, -2, 3, 1])).to_bytes())
    template = kind.header_class().template_dtype
    for _ in range(chosen.choice((0, 1, 1, 2, 4))):
        field, offset = template.fields[chosen.choice(template.names)][:2]
        content[offset : offset + field.itemsize] = _odd(chosen, field.itemsize)
    if chosen.random() < 0.3:
        content = bytearray(damaged(chosen, bytes(content)))
    if chosen.random() < 0.5:
        return bytes(content)
    bomb = bytes(chosen.choice((0, 0, 0, 10**7)))
    packed = gzip.compress(bytes(content) + bomb, 1) + chosen.choice((b"", b"", b"\0" * 9, gzip.compress(b"") * 50))
    return damaged(chosen, packed) if chosen.random() < 0.4 else packed


def _odd(chosen: random.Random, size: int) -> bytes:
    known = (b"\0", b"\xff", b"\x7f", struct.pack("<f", np.nan), struct.pack("<f", np.inf), struct.pack("<h", 3))
    return (chosen.choice((*known, struct.pack("<i", 2**30), chosen.randbytes(size))) * size)[:size]


def png(chosen: random.Random, _real: Sequence[bytes]) -> bytes:
    """A PNG of odd sizes, depths and chunks, with text and profiles that inflate without end."""
    pairs = ((8, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (1, 0), (16, 4), (8, 6), (16, 6), (3, 0), (8, 5))
    depth, colour = chosen.choice(pairs)
    rows, columns = chosen.choice((*[(12, 12)] * 9, (0, 5), (2**31 - 1, 2**31 - 1), (20_000, 13_000)))
    width = (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1) * 12 + 7) // 8
    lines = b"".join(
        bytes([chosen.choice((0, 1, 4) if chosen.random() < 0.99 else (9, 255))]) + chosen.randbytes(width)
        for _ in range(12)
    )
    parts = [(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, chosen.choice((0, 0, 0, 1))))]
    bomb = _bomb(chosen.choice((10, 10**6, 10**7)))
    extra = [
        (b"zTXt", b"k\0\0" + bomb),
        (b"iCCP", b"k\0\0" + bomb),
        (b"iTXt", b"k\0\1\0\0\0" + bomb),
        (b"tEXt", b"=1\0x"),
    ]
    extra += [(b"tRNS", bytes(6)), (b"PLTE", chosen.randbytes(chosen.choice((3, 768, 5))))]
    extra += [(b"acTL", struct.pack(">II", chosen.choice((1, 2, 2**31 - 1)), 0)), (b"eXIf", chosen.randbytes(30))]
    parts += chosen.sample(extra, chosen.choice((0, 0, 1, 3)))
    parts += [(b"IDAT", zlib.compress(lines + bytes(chosen.choice((0, 0, 10**6))), 1)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in parts)
    return damaged(chosen, content) if chosen.random() < 0.4 else content


@cache
def _bomb(count: int) -> bytes:
    return zlib.compress(bytes(count), 1)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def jpeg(chosen: random.Random, _real: Sequence[bytes]) -> bytes:
    """A JPEG of another size than it says, with doubled or damaged segments."""
    content = bytearray(baseline_jpeg())
    frame = content.index(b"\xff\xc0")
    if chosen.random() < 0.3:
        content[frame + 5 : frame + 9] = struct.pack(">HH", *chosen.choice(((65535, 65535), (0, 16), (16_000, 16_000))))
    if chosen.random() < 0.3:
        content[frame + 1] = chosen.choice((0xC1, 0xC2, 0xC3, 0xC9, 0xF7))
    if chosen.random() < 0.3:
        content[2:2] = b"\xff\xe1\xff\xff" + chosen.randbytes(200) + bytes(65_333)
    return damaged(chosen, bytes(content)) if chosen.random() < 0.7 else bytes(content)


KINDS = {
    "dicom": Kind(60, dicom, scan=False),
    "nifti": Kind(15, nifti, scan=True),
    "png": Kind(10, png, scan=False),
    "jpeg": Kind(8, jpeg, scan=False),
    "series": Kind(7, series, scan=True),
}
