"""Run-length coded pixels, DICOM PS3.5 annex G, decoded no further than the picture is large."""

from __future__ import annotations

import itertools

import numpy as np

from privrad.imaging.unreadable import Unreadable

_HEADER, _MOST_SEGMENTS = 64, 15
_MOST_PER_BYTE = 64  # two bytes make a run of 128
_RUNS = 512  # between two looks at how much was decoded


def unpack(frame: bytes, *, pixels: int, samples: int, width: int) -> bytes:
    """The pixels of a run-length coded frame: all of the first sample, then all of the next, little-endian.

    `width` is the bytes of one value. Raises Unreadable for a frame with other segments than samples x width, each of
    which decodes to `pixels` bytes or a few more.
    """
    count = int.from_bytes(frame[:4], "little")
    if len(frame) < _HEADER or count != samples * width or count > _MOST_SEGMENTS:
        remedy = f"{count} run-length coded segments, not {samples * width}; export or copy the file again"
        raise Unreadable("unreadable_file", remedy)
    if _MOST_PER_BYTE * len(frame) < samples * width * pixels:
        raise _cut_short()
    starts = [*np.frombuffer(frame, "<u4", count, offset=4).tolist(), len(frame)]
    planes = np.empty((samples, pixels, width), dtype=np.uint8)
    for segment, (start, end) in enumerate(itertools.pairwise(starts)):
        decoded = _segment(frame, max(start, _HEADER), end, pixels)
        if len(decoded) < pixels:
            raise _cut_short()
        sample, byte = divmod(segment, width)
        planes[sample, :, width - 1 - byte] = np.frombuffer(decoded, np.uint8, pixels)
    return planes.tobytes()


def _cut_short() -> Unreadable:
    remedy = "its pixels, RLE Lossless, are cut short or damaged; export or copy the file again"
    return Unreadable("unreadable_file", remedy)


def _segment(frame: bytes, start: int, end: int, pixels: int) -> bytearray:
    """The bytes of the segment that lies from start to end, with at most a few thousand more than there are pixels."""
    decoded = bytearray()
    at, extend = start, decoded.extend
    while at < end and len(decoded) < pixels:
        for _ in range(_RUNS):
            if at >= end:
                break
            run = frame[at]
            if run < 128:
                extend(frame[at + 1 : at + 2 + run])
                at += 2 + run
            else:
                if run > 128:
                    extend(frame[at + 1 : at + 2] * (257 - run))
                    at += 1
                at += 1
    return decoded
