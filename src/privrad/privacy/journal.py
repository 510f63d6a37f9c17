"""An append-only file of chained entries, on disk before a call returns, written by one process at a time.

The lock file beside it, `<path>.lock`, remembers the last head, so that an older copy put in the file's place, a tail
cut off at a line's end, or a file deleted shows at the next call, as long as the lock file itself stays.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from privrad.files import PRIVATE
from privrad.privacy.chain import Entry, LedgerError, lines, parse

log = logging.getLogger("privrad")

HEAD = re.compile(rb"[0-9a-f]{64}")


class Journal:
    """The ledger's file at `path`; folders that it makes are its owner's alone (0700), and so is the file (0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Entry, ...]:
        """Every entry, checked from the first; none where there is no file yet.

        Raises LedgerError naming the line at fault, what is wrong and how to mend it.
        """
        with _told(self.path, "could not be read"):
            if not (self.path.exists() or _beside(self.path).exists()):
                return ()
            with _lock(self.path, fcntl.LOCK_SH) as lock:
                return self._checked(lock)

    @contextmanager
    def writing(self) -> Iterator[tuple[tuple[Entry, ...], Writer]]:
        """Hold the file against every other writer, on this machine and others; give its entries and their writer.

        Raises LedgerError, with nothing entered, where the file cannot be written or does not hold.
        """
        with _told(self.path, "cannot be written"):
            _make_private(self.path.parent)
            with _lock(self.path, fcntl.LOCK_EX) as lock:
                assert lock is not None
                yield self._checked(lock, to_write=True), Writer(self.path, lock)

    def _checked(self, lock: int | None, *, to_write: bool = False) -> tuple[Entry, ...]:
        raw = b""
        if self.path.exists():
            self._require_file(to_write=to_write)
            raw = self.path.read_bytes()
        entries = parse(raw, path=self.path)
        last = b"" if lock is None else os.pread(lock, 64, 0)
        if HEAD.fullmatch(last) and all(entry.hash != last.decode() for entry in entries):
            raise LedgerError(
                f"ledger {self.path} has lost entries: the last one written has hash {last.decode()}, and it is not "
                f"among the {len(entries)} there; restore the copy that has it. Only if no copy has, and the lost "
                f"charges are counted otherwise, go on without them: rm {shlex.quote(str(_beside(self.path)))}"
            )
        return entries

    def _require_file(self, *, to_write: bool) -> None:
        mode = self.path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise LedgerError(f"ledger {self.path} is not a file; name the file that the study's ledger: is to be")
        if to_write and not mode & stat.S_IWUSR:
            raise LedgerError(
                f"ledger {self.path} is read-only (mode {stat.S_IMODE(mode):o}), so nothing was entered; "
                "let its owner write it (chmod u+w), or name the ledger that is in use"
            )


class Writer:
    """What may append to the file at `path` while `lock`, the open lock file, is held."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path, self._lock = path, lock

    def append(self, entries: Sequence[Entry]) -> None:
        """Add `entries`, which follow the last one, in one write, and return once they are on disk.

        What could not be written whole is taken back. Raises OSError.
        """
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        try:
            size = os.fstat(handle).st_size
            if size == 0:
                _sync(self._path.parent)
            try:
                _write(handle, lines(entries))
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        with suppress(OSError):
            os.pwrite(self._lock, entries[-1].hash.encode(), 0)


def _write(handle: int, data: bytes) -> None:
    if os.write(handle, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def _beside(path: Path) -> Path:
    return Path(f"{path}.lock")


@contextmanager
def _lock(path: Path, kind: int) -> Iterator[int | None]:
    """Hold the lock file, shared or exclusive, until the block ends or the process does; give its open handle.

    A reader goes without it where the folder cannot be written, so that a copy kept read-only can be checked.
    """
    try:
        handle = os.open(_beside(path), os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        if kind == fcntl.LOCK_EX or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        yield None
        return
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("ledger %s: waiting for another process that holds its lock", path)
            fcntl.flock(handle, kind)
        yield handle
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"ledger {path} {what} ({error.strerror}), so nothing was entered; it must stand on storage with "
            "locks and free space that each node can write"
        ) from None


def _make_private(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
