"""The radiograph in a DICOM file, as it is meant to be looked at."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from privrad.imaging import allowed
from privrad.imaging.elements import set_aside
from privrad.imaging.picture import grey
from privrad.imaging.presentation import present
from privrad.imaging.quiet import quiet
from privrad.imaging.stored import GREY, PALETTE, stored_pixels
from privrad.imaging.walk import read_header

_WANTED = allowed.tags(allowed.RADIOGRAPH)


def read_dicom(stream: BinaryIO, *, trusted: bool = False) -> np.ndarray:
    """Presentation values of the one picture in a DICOM file, float32 [rows, columns], bright where the body is dense.

    Of the header nothing is read but what `allowed` names. Raises Unreadable for a file without pixels, with several
    frames, in colour, too large, damaged, or compressed in a way that no decoder here reads; for a document; and,
    unless it is trusted to be free of names, for a captured or scanned picture and one with burned-in annotation.
    """
    with quiet():
        header = read_header(stream, _WANTED)
        aside = set_aside(header.elements, trusted=trusted)
        if aside:
            raise aside
        pixels = stored_pixels(header)
        file = header.elements
        kind = str(file.PhotometricInterpretation)
        if kind in GREY:
            return present(pixels.view(f"u{pixels.itemsize}") if pixels.dtype.kind == "i" else pixels, file)
        if kind == PALETTE:
            pixels = apply_color_lut(pixels, file)
        return grey(pixels)


def read_bare_dicom(content: bytes, *, trusted: bool = False) -> np.ndarray:
    """As `read_dicom`, of a file without the preamble of 128 bytes."""
    return read_dicom(io.BytesIO(content), trusted=trusted)
