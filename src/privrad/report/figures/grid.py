"""Tables drawn as figures, for those who take a figure as SVG or PDF: blocks of rows under a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from privrad.report.figures.style import GRID, MUTED, NARROW, STYLE

Cell = str | tuple[str, str]
"""What a cell says, or that and a smaller line below it."""
POINTS = 72.0
GAP = 14.0


@dataclass(frozen=True)
class Block:
    """One table: a title, the heads of its columns, and rows, of which one of a single cell opens a section."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def draw(blocks: Sequence[Block], *, width: float, abreast: int = 1) -> Figure:
    """The blocks below each other, `abreast` of them side by side; `width` in inches, as high as they need."""
    size = 8.0 if width > NARROW else 7.5
    ranks = [blocks[start : start + abreast] for start in range(0, len(blocks), abreast)]
    heights = [max(_height(block, size=size) for block in rank) for rank in ranks]
    total = sum(heights) + GAP * len(ranks)
    each = (width * POINTS - GAP * (abreast + 1)) / abreast
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, total / POINTS))
        top = total - GAP / 2
        for rank, height in zip(ranks, heights, strict=True):
            for place, block in enumerate(rank):
                _Pen(figure, left=GAP + place * (each + GAP), width=each, size=size).block(block, top=top)
            top -= height + GAP
    return figure


def _height(block: Block, *, size: float) -> float:
    head = max(label.count("\n") + 1 for label in block.head)
    return size * (2.0 + 1.3 * head + 0.6 + sum(_lines(row) for row in block.rows))


def _lines(row: Sequence[Cell]) -> float:
    """The height of a row, in units of the size of its letters."""
    return 1.9 if len(row) == 1 else 2.75 if any(isinstance(cell, tuple) for cell in row) else 1.55


@dataclass(frozen=True)
class _Pen:
    """Writes blocks onto a figure from `left` on, in points."""

    figure: Figure
    left: float
    width: float
    size: float

    def block(self, block: Block, *, top: float) -> None:
        ends = self._ends(block)
        line = self.size * 1.3
        self._say(block.title, x=self.left, y=top, weight="bold", size=self.size + 1)
        y = top - self.size * 2.0
        height = max(label.count("\n") + 1 for label in block.head) * line
        for label, end in zip(block.head, ends, strict=True):
            self._say(label, x=end, y=y - height, color=MUTED, va="bottom", right=end != self.left)
        y -= height + self.size * 0.3
        self._rule(y)
        y -= self.size * 0.3
        for row in block.rows:
            self._row(row, ends=ends, y=y)
            y -= self.size * _lines(row)
        self._rule(y)

    def _row(self, row: Sequence[Cell], *, ends: Sequence[float], y: float) -> None:
        if len(row) == 1 and isinstance(row[0], str):
            self._say(row[0], x=self.left, y=y - self.size * 0.5, weight="bold")
            return
        for cell, end in zip(row, ends, strict=True):
            said, below = (cell, "") if isinstance(cell, str) else cell
            self._say(said, x=end, y=y - self.size * 0.2, right=end != self.left)
            if below:
                self._say(below, x=end, y=y - self.size * 1.35, color=MUTED, size=self.size - 0.5, right=True)

    def _ends(self, block: Block) -> list[float]:
        """Where the first column begins and where each further one ends, by their longest texts."""
        held = [row for row in block.rows if len(row) > 1]
        columns = [[label.split("\n"), *([cell] if isinstance(cell, str) else cell for cell in cells)]
                   for label, *cells in zip(block.head, *held, strict=True)]  # fmt: skip
        longest = [max(len(text) for texts in column for text in texts) + 3 for column in columns]
        longest[0] -= longest[0] // 5
        unit = self.width / sum(longest)
        ends = [self.left + unit * sum(longest[: place + 1]) for place in range(len(longest))]
        return [self.left, *ends[1:]]

    def _rule(self, y: float) -> None:
        x = [at / (self.figure.get_figwidth() * POINTS) for at in (self.left, self.left + self.width)]
        self.figure.add_artist(Line2D(x, [y / (self.figure.get_figheight() * POINTS)] * 2, color=GRID, linewidth=0.8))

    def _say(self, text: str, *, x: float, y: float, right: bool = False, va: str = "top", **look: object) -> None:
        at = (x / (self.figure.get_figwidth() * POINTS), y / (self.figure.get_figheight() * POINTS))
        look = {"size": self.size, **look}
        self.figure.text(*at, text, ha="right" if right else "left", va=va, **look)  # type: ignore[arg-type]
