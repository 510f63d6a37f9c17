"""Reading a radiograph or a CT scan, its format told by content and never by name."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from privrad.imaging.dicom import read_bare_dicom, read_dicom
from privrad.imaging.nifti import GZIP, LONGEST_HEADER, is_nifti, read_nifti
from privrad.imaging.opening import LARGEST_FILE, open_regular
from privrad.imaging.picture import read_picture
from privrad.imaging.scan import Scan
from privrad.imaging.series import read_series
from privrad.imaging.unreadable import Unreadable

__all__ = ["Unreadable", "read_radiograph", "read_scan", "refusing"]

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_BARE_GROUPS = (b"\x02\x00", b"\x08\x00")
_TOLD = (zlib.error, gzip.BadGzipFile, EOFError)
"""The faults whose texts hold nothing of the file."""
log = logging.getLogger("privrad")


def read_radiograph(path: Path, *, trusted: bool = False) -> np.ndarray:
    """Read one radiograph as it is meant to be looked at, bright where the body is dense.

    Returns float32 or uint16 [rows, columns]. Of a DICOM file these are the stored values after the modality rescale or
    table, the first value-of-interest table or window, and inversion where the file says that low values are bright;
    padding takes the darkest value of the picture. Of a PNG or JPEG they are its grey values; transparency lies over
    black, colour that is really grey (a tint, a few coloured marks) becomes its luma, an orientation tag is ignored.
    `trusted` says that whoever published the file has taken out what identifies the patient. Raises Unreadable for
    every other content, and for what is no regular file or larger than 512 MiB.
    """
    with refusing(), open_regular(path, largest=LARGEST_FILE) as stream:
        return _read(stream, trusted=trusted)


def read_scan(path: Path, *, within: Path | None = None, trusted: bool = False) -> Scan:
    """Read one CT scan: a NIfTI file, a folder of DICOM slices, or one DICOM file, which names its series.

    With `within`, a folder without links in its own path, slices that a link leads to outside of it are refused.
    `trusted` is as of `read_radiograph`. Raises Unreadable for every other content; so do the scan's planes, for a
    fault that is met only there.
    """
    with refusing():
        scan = _reader(path, within, trusted=trusted)
    return replace(scan, planes=lambda: _guarded(scan))


def _guarded(scan: Scan) -> Iterator[np.ndarray]:
    with refusing():
        yield from scan.planes()


@contextmanager
def refusing() -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into Unreadable, but for what no file can cause."""
    try:
        yield
    except (Unreadable, NameError, ImportError):
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("missing_file", "there is no such file; restore it or correct its path in the table") from None
    except MemoryError:
        raise _too_large() from None
    except Exception as error:
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise _too_large() from None
        if isinstance(error, OSError) and error.strerror:
            remedy = f"{error.strerror}; make it a file that this account may read"
            raise Unreadable("unreadable_file", remedy) from None
        log.debug("a file that is refused", exc_info=True)
        raise Unreadable("unreadable_file", f"{_told(error)}; export or copy the file again") from error


def _too_large() -> Unreadable:
    return Unreadable("too_large", "it does not fit into memory; export it at a lower resolution")


def _told(error: Exception) -> str:
    """What went wrong, without the file's own words, which may name a patient."""
    return str(error).rstrip(" .") if isinstance(error, _TOLD) else f"it is damaged ({type(error).__name__})"


def _read(stream: BinaryIO, *, trusted: bool) -> np.ndarray:
    head = stream.read(132)
    stream.seek(0)
    if head.startswith(_PICTURES):
        return read_picture(stream.read())
    if _is_bare(head):
        return read_bare_dicom(stream.read(), trusted=trusted)
    if head.endswith(b"DICM"):
        return read_dicom(stream, trusted=trusted)
    raise Unreadable("unknown_format", "it is neither DICOM nor PNG nor JPEG; export the image as one of them")


def _reader(path: Path, within: Path | None, *, trusted: bool) -> Scan:
    if path.is_dir():
        return read_series(path, within=within, trusted=trusted)
    with open_regular(path) as stream:
        head = stream.read(LONGEST_HEADER)
    if head.startswith(GZIP) or is_nifti(head):
        return read_nifti(path)
    if _is_bare(head) or head[128:132] == b"DICM":
        return read_series(path, within=within, trusted=trusted)
    remedy = "it is neither NIfTI nor DICOM; name a NIfTI file, a folder of DICOM slices or one of them"
    raise Unreadable("unknown_format", remedy)


def _is_bare(head: bytes) -> bool:
    """Whether a file begins as a DICOM one does that lacks its preamble of 128 bytes."""
    return head[:2] in _BARE_GROUPS and head[3:4] == b"\x00"
