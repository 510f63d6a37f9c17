"""Reading a radiograph from DICOM, PNG or JPEG, told apart by content and never by name."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from privrad.imaging.dicom import read_bare_dicom, read_dicom
from privrad.imaging.picture import read_picture
from privrad.imaging.unreadable import Unreadable

__all__ = ["Unreadable", "read_radiograph"]

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_BARE_GROUPS = (b"\x02\x00", b"\x08\x00")


def read_radiograph(path: Path) -> np.ndarray:
    """Read one radiograph as it is meant to be looked at, bright where the body is dense.

    Returns float32 or uint16 [rows, columns]. Of a DICOM file these are the stored values after the modality rescale or
    table, the first value-of-interest table or window, and inversion where the file says that low values are bright;
    padding takes the darkest value of the picture. Of a PNG or JPEG they are its grey values; transparency lies over
    black, colour that is really grey (a tint, a few coloured marks) becomes its luma, an orientation tag is ignored.
    Raises Unreadable for every other content.
    """
    try:
        stream = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("missing_file", "there is no such file; restore it or correct its path in the table") from None
    except OSError as error:
        raise Unreadable("unreadable_file", f"{error.strerror}; make it a file that this account may read") from None
    with stream:
        try:
            return _read(stream)
        except Unreadable:
            raise
        except MemoryError:
            raise Unreadable("too_large", "it does not fit into memory; export it at a lower resolution") from None
        except Exception as error:
            raise Unreadable("unreadable_file", f"{_first_line(error)}; export or copy the file again") from error


def _read(stream: BinaryIO) -> np.ndarray:
    head = stream.read(132)
    stream.seek(0)
    if head.startswith(_PICTURES):
        return read_picture(stream.read())
    if head[:2] in _BARE_GROUPS and head[3:4] == b"\x00":
        return read_bare_dicom(stream.read())
    if head.endswith(b"DICM"):
        return read_dicom(stream)
    raise Unreadable("unknown_format", "it is neither DICOM nor PNG nor JPEG; export the image as one of them")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .:;") if lines else type(error).__name__
