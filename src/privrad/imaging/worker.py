"""Files prepared in a process of their own, so that one that breaks its decoder costs nothing but itself."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

from privrad.imaging.task import Prepared, Task
from privrad.imaging.unreadable import Unreadable, printable

if TYPE_CHECKING:
    from privrad.imaging import decoding  # noqa: F401 (it runs in the other process; what is prepared depends on it)

_START = 120.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_MEMORY_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""For glibc: memory of one file is kept for the next, which spares a tenth of the time."""
_LONGEST_LINE, _LONGEST_REMEDY = 2**16, 1000
_AT_ONCE = 2**20
_UNASKED = "said what was not asked"


class Worker:
    """Prepares files one after another in a process that is started at the first and again after one that broke it.

    A file that breaks the process is given to a new one first, with as much time, so that none is refused for the
    damage of another or for an hour in which the computer was busy. If it breaks that, too, it is Unreadable:
    `took_too_long`, `killed_decoder` where the system killed it, as it does where memory runs out, else
    `crashed_decoder`. The process keeps within the task's memory, leaves no core dump, and its temporary files lie in a
    folder that goes with it. Nothing that it says is run or unpickled.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._child: _Child | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def prepare(self, path: Path) -> Prepared:
        """Prepare one file or folder.

        Raises Unreadable for it, ValueError for a size or window out of bounds, and OSError where the process cannot be
        started or lacks a part of privrad.
        """
        self._task.check()
        with contextlib.suppress(_BrokenError):
            return self._asked(path)
        try:
            return self._asked(path)
        except _BrokenError as error:
            raise error.refusal from None

    def _asked(self, path: Path) -> Prepared:
        self._child = self._child or _Child(self._task.memory)
        try:
            return self._child.ask(self._task, path)
        except Unreadable:
            raise
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _BrokenError(Exception):
    """The process is no longer of use: what became of it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.refusal = Unreadable(reason, remedy)


class _Child:
    """The process, its two pipes and its folder for temporary files."""

    def __init__(self, memory: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="privrad-", ignore_cleanup_errors=True)
        command = [sys.executable, "-P", "-m", "privrad.imaging.decoding", str(memory)]
        environment = os.environ | dict.fromkeys(_THREADS, "1") | _MEMORY_KEPT | {"TMPDIR": self._folder.name}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, env=environment, bufsize=0, **pipes)
        self._said = bytearray()
        self._until = time.monotonic() + _START
        try:
            self._line()
        except (_BrokenError, TimeoutError):
            self.close()
            said = f"the process that decodes files does not start; see why with: {' '.join(command)}"
            raise ChildProcessError(said) from None
        except BaseException:
            self.close()
            raise

    def ask(self, task: Task, path: Path) -> Prepared:
        """What becomes of one file; raises as Worker.prepare, and _BrokenError."""
        self._until = time.monotonic() + (seconds := task.seconds(path))
        try:
            self._write(task.job(path))
            answer = self._answer()
            if "shape" in answer:
                return self._prepared(answer, task)
        except TimeoutError:
            remedy = f"it was not done after {seconds:.0f} s; export it anew, uncompressed or at a lower resolution"
            remedy += ", or prepare it on a less busy computer"
            raise _BrokenError("took_too_long", remedy) from None
        self._refuse(answer)

    def _prepared(self, answer: dict[str, Any], task: Task) -> Prepared:
        try:
            affine = None if answer["affine"] is None else np.array(answer["affine"], np.float64).reshape(4, 4)
            wrong = answer["shape"] != list(task.shape) or not (affine is None or np.isfinite(affine).all())
            lines = int(answer["text_lines"])
        except (KeyError, ValueError, TypeError, OverflowError):
            wrong = True
        if wrong:
            self._fail(_UNASKED)
        pixels = np.frombuffer(self._bytes(math.prod(task.shape)), np.uint8).reshape(task.shape)
        return Prepared(pixels, affine, lines)

    def _refuse(self, answer: dict[str, Any]) -> NoReturn:
        reason, remedy = str(answer.get("reason")), printable(str(answer.get("remedy")))
        if reason == "privrad":
            raise ChildProcessError(f"the process for decoding failed: {remedy}; is privrad installed whole?")
        if not re.fullmatch(r"[a-z_]{1,40}", reason) or len(remedy) > _LONGEST_REMEDY:
            self._fail(_UNASKED)
        raise Unreadable(reason, remedy)

    def _answer(self) -> dict[str, Any]:
        try:
            answer = json.loads(self._line())
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            self._fail(_UNASKED)
        return answer

    def _write(self, line: bytes) -> None:
        try:
            _stream(self._process.stdin).write(line)
        except BrokenPipeError:
            self._ended()

    def _line(self) -> bytes:
        while (end := self._said.find(b"\n")) < 0:
            if len(self._said) > _LONGEST_LINE:
                self._fail(_UNASKED)
            self._read()
        return bytes(self._bytes(end + 1))

    def _bytes(self, count: int) -> bytearray:
        while len(self._said) < count:
            self._read()
        taken, self._said = self._said[:count], self._said[count:]
        return taken

    def _read(self) -> None:
        """Wait for more; TimeoutError where it is due and nothing has come."""
        stream, ready = _stream(self._process.stdout), select.poll()
        ready.register(stream, select.POLLIN)
        if not ready.poll(1000 * max(0.0, self._until - time.monotonic())):
            raise TimeoutError
        some = os.read(stream.fileno(), _AT_ONCE)
        if not some:
            self._ended()
        self._said += some

    def _ended(self) -> NoReturn:
        try:
            status = self._process.wait(max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        if status == -signal.SIGKILL:
            remedy = "the system killed its decoder, as where memory runs out; prepare it where more memory is free"
            raise _BrokenError("killed_decoder", remedy)
        self._fail(f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}")

    def _fail(self, how: str) -> NoReturn:
        raise _BrokenError("crashed_decoder", f"its decoder {how}; export or copy the file again")

    def close(self) -> None:
        """End the process, whatever it does, and remove its folder."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            _stream(stream).close()
        self._folder.cleanup()


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
