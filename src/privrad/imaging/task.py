"""What is made of one file, and how much of the computer that may take."""

from __future__ import annotations

import itertools
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

Size: TypeAlias = tuple[int, int, int]
"""Columns, rows and slices of a prepared volume."""
Window: TypeAlias = tuple[float, float]
"""The lowest and the highest Hounsfield unit that are told apart."""

MEMORY_RADIOGRAPH, MEMORY_SCAN = 3 * 2**29, 2**32
"""Bytes that the process may take for a radiograph, which are enough for 100 million pixels, and for a scan, which is
read plane by plane and needs a tenth of it; twice the prepared image is added."""
SECONDS_RADIOGRAPH, SECONDS_SCAN = 30.0, 60.0
SECONDS_A_MEBIBYTE, SECONDS_A_FILE, SECONDS_AT_MOST = 1.0, 0.1, 3600.0
"""The time for one radiograph or scan, by the clock: so much, and more by the size and number of its files; many times
what is needed, so that a busy computer refuses nothing."""
_LOOKED_AT = 5000


@dataclass(frozen=True)
class Task:
    """What is made of each file: a radiograph of `size` pixels a side, or a volume of (columns, rows, slices).

    A volume needs a `window`, in Hounsfield units; `within` and `trusted` are as of `read_scan`.
    """

    size: int | Size
    window: Window | None = None
    within: Path | None = None
    trusted: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared image: rows and columns, or slices, rows and columns."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size[::-1]

    @property
    def memory(self) -> int:
        """The bytes that the process may take."""
        return (MEMORY_RADIOGRAPH if isinstance(self.size, int) else MEMORY_SCAN) + 2 * math.prod(self.shape)

    def check(self) -> None:
        """Raise ValueError for a size or window out of bounds."""
        from privrad.imaging import ct, radiograph

        if isinstance(self.size, int):
            radiograph.check_wanted(self.size)
        elif self.window is None:
            raise ValueError("a volume needs a window; give two Hounsfield units, the lower one first")
        else:
            ct.check_wanted(self.size, self.window)

    def seconds(self, path: Path) -> float:
        """How long `path` may take."""
        if isinstance(self.size, int):
            return min(SECONDS_RADIOGRAPH + _mebibytes(path) * SECONDS_A_MEBIBYTE, SECONDS_AT_MOST)
        files = sum(_mebibytes(file) * SECONDS_A_MEBIBYTE + SECONDS_A_FILE for file in _beside(path))
        return min(SECONDS_SCAN + files, SECONDS_AT_MOST)

    def job(self, path: Path) -> bytes:
        """One line that tells the process what to do."""
        within = None if self.within is None else str(self.within)
        wanted = {"size": self.size, "window": self.window, "within": within, "trusted": self.trusted}
        return json.dumps({"path": str(path.absolute()), **wanted}).encode() + b"\n"


@dataclass(frozen=True)
class Prepared:
    """One prepared image, uint8 of the task's shape.

    Of a scan also its affine to L, P, S, float64 [4, 4]; of a radiograph how many lines of text its borders show.
    """

    pixels: np.ndarray
    affine: np.ndarray | None
    text_lines: int


def _beside(path: Path) -> list[Path]:
    """The files of a folder, or those beside a file, itself among them; of very many, some."""
    try:
        with os.scandir(path if path.is_dir() else path.parent) as entries:
            return list({path, *map(Path, itertools.islice(entries, _LOOKED_AT))})
    except OSError:
        return [path]


def _mebibytes(path: Path) -> float:
    try:
        return path.stat().st_size / 2**20
    except OSError:
        return 0.0
