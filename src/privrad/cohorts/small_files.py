"""Small files beside a cohort's pictures, such as reports and lists: read whole, and only what is meant to be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read(path: Path, *, within: Path, most: int) -> bytes | None:
    """The bytes of a file; None where it cannot be read, is no regular file, leaves `within`, or exceeds `most` bytes.

    A link is followed as long as it stays below `within`; a pipe or a device is not waited for.
    """
    if not os.path.realpath(path).startswith(os.path.realpath(within).rstrip("/") + "/"):
        return None
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            content = stream.read(most + 1)
    except OSError:
        return None
    return content if len(content) <= most else None


def places(root: Path, folders: tuple[str, ...], *, endings: tuple[str, ...]) -> list[str]:
    """The files with these endings in those of the folders that can be read, as sorted paths relative to `root`.

    A name that is not UTF-8, or holds a line break or another character that cannot be printed, is passed over.
    """
    found = []
    for folder in folders:
        try:
            names = sorted(name for name in os.listdir(root / folder) if name.lower().endswith(endings))
        except OSError:
            continue
        found += [f"{folder}/{name}" if folder else name for name in names if name.isprintable()]
    return found
