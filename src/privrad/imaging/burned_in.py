"""Text burned into a radiograph: lines of glyphs near its border, looked for and counted, never removed."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np

Box: TypeAlias = tuple[int, int, int, int]
"""Left column, top row, width and height in pixels."""

_EDGE, _APART = 0.12, 2  # a stroke's edge: this share of the picture's range within so many columns
_STROKE = 0.2  # of the range: what a stroke stands out from what lies within 17 pixels
_CELL, _DENSE, _FEWEST_CELLS = 16, 0.10, 2
_MOST_PLACES, _MOST_PARTS = 48, 1500
_WIDEST_STROKE, _BESIDE = 17, 25
_LEAST, _TALLEST = 6, 80  # rows of a glyph
_FEWEST_GLYPHS, _FEWEST_PIECES = 5, 3


def text_lines(values: np.ndarray) -> list[Box]:
    """Boxes of what looks like a line of five or more characters in the outer quarters of a picture [rows, columns].

    `values` are real, bright or dark text alike, 8 to 80 pixels high. One letter, a pair such as AP, and text that runs
    upwards are not found; nor can a name be told from a word such as PORTABLE.
    """
    if min(values.shape) < 4 * _CELL:
        return []
    every = next((every for every in (8, 4, 2) if min(values.shape) >= 256 * every), 1)
    rows = np.ascontiguousarray(values[::every], dtype=np.float32)
    low, high, _, _ = cv2.minMaxLoc(rows)
    if not np.isfinite(high - low) or high <= low:
        return []
    scale = 255 / (high - low)
    lines: list[Box] = []
    for left, top, width, height in _places(_grey(rows, low, scale), every):
        grey = _grey(values[top : top + height, left : left + width], low, scale)
        for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            strokes = cv2.morphologyEx(grey, operation, np.ones((_WIDEST_STROKE, _WIDEST_STROKE), np.uint8))
            lines += [(left + x, top + y, w, h) for x, y, w, h in _lines(strokes)]
    return _apart(lines)


def _grey(values: np.ndarray, low: float, scale: float) -> np.ndarray:
    floats = np.ascontiguousarray(values, dtype=np.float32)
    return cv2.convertScaleAbs(floats, alpha=scale, beta=-low * scale)


def _places(rows: np.ndarray, every: int) -> list[Box]:
    """Where in the outer quarters edges are dense, in pixels of the picture of which `rows` are every so many."""
    steps = cv2.absdiff(rows[:, _APART:], rows[:, :-_APART])
    _, edges = cv2.threshold(steps, 255 * _EDGE, 255, cv2.THRESH_BINARY)
    down, across = len(edges) * every // _CELL, edges.shape[1] // _CELL
    whole = edges[: down * _CELL // every, : across * _CELL]
    dense = cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA) > 255 * _DENSE
    dense[down // 4 : down - down // 4, across // 4 : across - across // 4] = False
    joined = cv2.morphologyEx(dense.view(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = [box[:4] for box in boxes[1:count].tolist() if box[2] >= _FEWEST_CELLS]
    found = sorted(found, key=lambda box: -box[2] * box[3])[:_MOST_PLACES]
    return [(max(x - 1, 0) * _CELL, max(y - 1, 0) * _CELL, (w + 2) * _CELL, (h + 2) * _CELL) for x, y, w, h in found]


def _lines(strokes: np.ndarray) -> list[Box]:
    """Lines of glyphs in a picture of bright strokes, uint8."""
    strongest = cv2.dilate(strokes, np.ones((_BESIDE, _BESIDE), np.uint8))
    inked = (strokes > 255 * _STROKE) & (strokes > strongest // 2)
    count, _, stats, _ = cv2.connectedComponentsWithStats(inked.view(np.uint8), connectivity=8)
    x, y, w, h, area = stats[1:count].T
    glyph = (h >= _LEAST) & (h <= _TALLEST) & (w <= 8 * h) & (area >= 0.12 * w * h)
    if not _FEWEST_PIECES <= glyph.sum() <= _MOST_PARTS:
        return []
    return [box for box in map(_line, _chains(np.stack([x, y, w, h], axis=1)[glyph])) if box is not None]


def _chains(glyphs: np.ndarray) -> list[np.ndarray]:
    """Glyphs [n, 4] grouped with those of like height that stand beside them."""
    glyphs = glyphs[np.argsort(glyphs[:, 0], kind="stable")]
    x, y, w, h = glyphs.T
    tall, short = np.maximum(h[:, None], h), np.minimum(h[:, None], h)
    shared = np.minimum((y + h)[:, None], y + h) - np.maximum(y[:, None], y)
    gap = np.maximum(x[:, None], x) - np.minimum((x + w)[:, None], x + w)
    beside = (tall <= 1.7 * short) & (shared >= 0.6 * short) & (gap <= 1.2 * tall)
    label = np.arange(len(glyphs))
    for index in range(len(glyphs)):
        near = beside[index, : index + 1]
        label[np.isin(label, label[: index + 1][near])] = label[: index + 1][near].min()
    return [glyphs[label == name] for name in np.unique(label)]


def _apart(boxes: list[Box]) -> list[Box]:
    """The boxes, without those that lie for the most part in a larger one: the same text met as bright and as dark."""
    kept: list[Box] = []
    for x, y, w, h in sorted(boxes, key=lambda box: -box[2] * box[3]):
        shared = [max(min(x + w, a + c) - max(x, a), 0) * max(min(y + h, b + d) - max(y, b), 0) for a, b, c, d in kept]
        if 2 * max(shared, default=0) <= w * h:
            kept.append((x, y, w, h))
    return kept


def _line(chain: np.ndarray) -> Box | None:
    """The box of a chain that is long enough for a line of text, and not of one form such as the marks of a ruler."""
    x, y, w, h = chain.T
    height = float(np.median(h))
    glyphs = np.maximum(1, np.rint(w / (0.8 * height))).sum()
    wide = int((x + w).max() - x.min())
    if len(chain) < _FEWEST_PIECES or glyphs < _FEWEST_GLYPHS or wide < 2 * height or np.median(w) < 0.2 * height:
        return None
    return int(x.min()), int(y.min()), wide, int((y + h).max() - y.min())
