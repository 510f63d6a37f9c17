"""Deflated DICOM files, inflated within bounds."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import BinaryIO

from privrad.imaging.unreadable import Unreadable

_BLOCK = 2**16
_FREE, _RATIO, _MOST = 2**26, 100, 2**30
"""Bytes that any file may inflate to; how many times its own size beyond them; the most of all."""


def inflated(stream: BinaryIO) -> BytesIO:
    """What follows in a deflated file, inflated block by block so that a bomb is noticed before it is in memory."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain, taken = BytesIO(), 0
    while not engine.eof and (block := stream.read(_BLOCK)):
        taken += len(block)
        while block and not engine.eof:
            plain.write(engine.decompress(block, _BLOCK))
            block = engine.unconsumed_tail
            if plain.tell() > min(max(_FREE, _RATIO * taken), _MOST):
                remedy = f"{taken} deflated bytes inflate to more than {plain.tell()}; export it uncompressed"
                raise Unreadable("too_large", remedy)
    plain.write(engine.flush())
    plain.seek(0)
    return plain
