"""The process that prepares files for `worker`: jobs on its standard input, prepared images on its standard output.

A job is a line of JSON; so is the answer, which bytes of pixels follow where there is an image.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from privrad.imaging import radiograph
from privrad.imaging.burned_in import text_lines
from privrad.imaging.opening import LARGEST_FILE
from privrad.imaging.read import Unreadable, read_radiograph, read_scan, refusing
from privrad.imaging.unreadable import printable

_DUMPABLE, _PARENT_DEATH = 4, 1
_LONGEST_REMEDY = 600


def main() -> None:
    """Answer jobs until there are no more; the argument is the most memory to take, in bytes."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1):
        os.dup2(nothing, handle)  # what a decoder prints is no answer
    confine(int(sys.argv[1]))
    cv2.setNumThreads(1)
    _say(answers, {})
    for line in jobs:
        _answer(json.loads(line), answers)


def confine(memory: int) -> None:
    """Bound what this process can do to the computer: memory, files, core dumps; it ends when its parent does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PARENT_DEATH, signal.SIGKILL)
    with contextlib.suppress(OSError):  # where memory runs out, this process goes and not the one that waits for it
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc.prctl(_DUMPABLE, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: 2 * LARGEST_FILE,
        resource.RLIMIT_NOFILE: 256,
    }
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def _answer(job: dict[str, Any], answers: BinaryIO) -> None:
    try:
        pixels, told = _prepared(job)
    except Unreadable as error:
        _say(answers, {"reason": error.reason, "remedy": printable(error.remedy)[:_LONGEST_REMEDY]})
    except (NameError, ImportError) as error:
        _say(answers, {"reason": "privrad", "remedy": str(error)})
    else:
        _say(answers, {"shape": pixels.shape, "affine": None, "text_lines": 0} | told, pixels)


def _prepared(job: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    path, size, trusted = Path(job["path"]), job["size"], job["trusted"]
    if isinstance(size, int):
        with refusing():
            values = read_radiograph(path, trusted=trusted)
            return radiograph.prepare(values, size=size), {"text_lines": len(text_lines(values))}
    from privrad.imaging import ct

    lengths, window = tuple(size), tuple(job["window"])
    with refusing():
        scan = read_scan(path, within=job["within"] and Path(job["within"]), trusted=trusted)
        pixels = ct.prepare(scan, size=lengths, window=window)
        return pixels, {"affine": ct.grid(scan, size=lengths).tolist()}


def _say(answers: BinaryIO, answer: dict[str, Any], pixels: np.ndarray | None = None) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    if pixels is not None:
        answers.write(np.ascontiguousarray(pixels).data)
    answers.flush()


if __name__ == "__main__":
    main()
