"""The lock of a work folder: one process at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privrad import files


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Hold the work folder against every other process; the lock ends with the process that holds it.

    Raises ValueError, naming the holder, where another process holds it.
    """
    path = own_folder(work) / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, files.PRIVATE)
    with os.fdopen(handle, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = stream.read().strip() or "another process"
            raise ValueError(
                f"work folder {work} is in use by {holder}; wait until it ends, or end it: what it has done is kept"
            ) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield


def own_folder(folder: Path) -> Path:
    """The folder, made where it was not there, as were its parents; what is made its owner alone can read."""
    if not folder.is_dir():
        own_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder
