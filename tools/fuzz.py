"""Whether a file can do harm: thousands of hostile ones, through the reader that the prepare step uses."""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import privrad.imaging
from privrad.imaging.task import Task
from privrad.imaging.unreadable import Unreadable, printable
from privrad.imaging.worker import Worker
from tools.fuzz_inputs import KINDS, Made, made

SECONDS, MEMORY = 10.0, 2**31
"""What no input may take."""
RADIOGRAPH, SCAN = Task(32, trusted=True), Task((8, 8, 8), (-150, 250))
SMALL = 2**17
"""The bytes of the largest real file that is taken as a start."""


@dataclass
class Found:
    """What became of the inputs: how many of each kind had which outcome, and what should not have been."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in KINDS})
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0


def run(count: int, *, seed: int, real: Sequence[bytes] = (), only: int | None = None) -> Found:
    """Read `count` inputs of a seed, or the one numbered `only`; `real` are DICOM files to damage besides."""
    found, known = Found(), reasons()
    with _place() as place:
        with Worker(RADIOGRAPH) as radiographs, Worker(SCAN) as scans:
            for worker in (radiographs, scans):  # so that no input has to wait for their start
                read(worker, _written(place / "inputs", b""), shape=(), known=known)
            for number in range(count) if only is None else [only]:
                name, kind, content = made(seed, number, real=real)
                path = _written(place / "inputs", content)
                worker, task = (scans, SCAN) if kind.scan else (radiographs, RADIOGRAPH)
                start = time.monotonic()
                outcome, faults = read(worker, path, shape=task.shape, known=known)
                seconds = time.monotonic() - start
                found.outcomes[name][outcome] += 1
                found.slowest = max(found.slowest, seconds)
                faults += [f"{seconds:.1f} s"] if seconds > SECONDS else []
                found.faults += [f"{number} ({name}): {fault}" for fault in faults]
        left = [str(path.relative_to(place)) for path in place.rglob("*") if "inputs" not in path.parts]
    found.faults += [f"written: {name}" for name in left if name not in ("temporary", "here")]
    return found


def read(worker: Worker, path: Path, *, shape: tuple[int, ...], known: frozenset[str]) -> tuple[str, list[str]]:
    """The outcome of one input, and what is wrong with it."""
    before = _listed(path)
    faults = []
    try:
        outcome, pixels = "image", worker.prepare(path).pixels
        if pixels.dtype != np.uint8 or pixels.shape != shape or np.ptp(pixels) == 0:
            faults.append(f"{pixels.dtype} {pixels.shape} from {pixels.min()} to {pixels.max()}")
    except Unreadable as error:
        outcome = error.reason
        if error.reason not in known or not error.remedy or "Traceback" in error.remedy or "Doe" in error.remedy:
            faults.append(f"{error.reason!r}: {error.remedy!r}")
        if error.remedy != printable(error.remedy):
            faults.append(f"not one printable line: {error.remedy!r}")
    except Exception as error:
        outcome = "escaped"
        faults.append(f"{type(error).__name__}: {error}")
    return outcome, faults if _listed(path) == before else [*faults, "its folder has changed"]


def reasons() -> frozenset[str]:
    """Every text in the sources of imaging, of which the reasons are some."""
    sources = [ast.parse(path.read_text()) for path in Path(privrad.imaging.__path__[0]).glob("*.py")]
    nodes = [node for source in sources for node in ast.walk(source) if isinstance(node, ast.Constant)]
    return frozenset(node.value for node in nodes if isinstance(node.value, str))


@contextmanager
def _place() -> Iterator[Path]:
    """A folder with one for inputs, an empty one for temporary files, and an empty one that is worked in."""
    before, temporary = Path.cwd(), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="fuzz-") as base:
        for name in ("inputs", "temporary", "here"):
            (Path(base) / name).mkdir()
        os.chdir(Path(base) / "here")
        tempfile.tempdir = str(Path(base) / "temporary")
        try:
            yield Path(base)
        finally:
            os.chdir(before)
            tempfile.tempdir = temporary


def _written(folder: Path, content: Made) -> Path:
    """The file or folder that holds an input, in place of the one before."""
    path = folder / ("series" if isinstance(content, list) else "file")
    if not isinstance(content, list):
        path.write_bytes(content)
        return path
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name, one in content:
        (path / name).write_bytes(one)
    return path


def _listed(path: Path) -> list[tuple[str, int, int]]:
    """Every file beside an input, with its size and when it was written."""
    files = path.iterdir() if path.is_dir() else path.parent.iterdir()
    return sorted((str(file), (found := file.stat()).st_size, found.st_mtime_ns) for file in files)


def small_files(folder: Path) -> list[bytes]:
    """What the small files below a folder hold, in the order of their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size <= SMALL)
    return [path.read_bytes() for path in files]


def main() -> int:
    """Read hostile files and print one JSON line; 1 where one did what none may."""
    parser = argparse.ArgumentParser(description="Read hostile files of a seed, and say what became of them.")
    parser.add_argument("count", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other files (0)")
    parser.add_argument("--only", type=int, help="the input of this number alone")
    parser.add_argument("--real", type=Path, help="a folder of real DICOM files, whose small ones are damaged, too")
    options = parser.parse_args()
    start = time.monotonic()
    real = [] if options.real is None else small_files(options.real)
    found = run(options.count, seed=options.seed, real=real, only=options.only)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if peak > MEMORY:
        found.faults.append(f"{peak} bytes of memory")
    result = {
        "claim": "each file gives an image or a reason within 10 s and 2 GiB, and nothing is written",
        "inputs": sum(map(Counter.total, found.outcomes.values())),
        "seed": options.seed,
        "faults": found.faults[:20],
        "outcomes": {name: dict(outcomes.most_common()) for name, outcomes in found.outcomes.items()},
        "slowest_s": round(found.slowest, 2),
        "peak_gib": round(peak / 2**30, 3),
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(result))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
