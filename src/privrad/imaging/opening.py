"""Opening files that anybody may have put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from privrad.imaging.unreadable import Unreadable

LARGEST_FILE = 2**29
"""The bytes of the largest file that is read whole: as many as 2**28 pixels of 16 bits take."""


def open_regular(path: Path, *, largest: int | None = None) -> BinaryIO:
    """Open a regular file for reading, without waiting for a pipe or waking a device.

    Links are followed. Raises Unreadable for anything else that bears a name (a folder, pipe, socket or device) and for
    a file of more than `largest` bytes, however few of them are on disk; and OSError as `open` does.
    """
    _check(os.stat(path), largest)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(os.fstat(handle), largest)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(found: os.stat_result, largest: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not_a_file", "it is a folder, pipe, socket or device; name a file")
    if largest is not None and found.st_size > largest:
        raise Unreadable("too_large", f"it has {found.st_size} bytes, and at most {largest} are read; export it anew")
