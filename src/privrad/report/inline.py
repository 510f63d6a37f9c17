"""Figures and pictures as parts of the page itself, so that it needs nothing from outside."""

from __future__ import annotations

import base64
import html
import re

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from privrad.report import figures

THEMED = {
    "ink": figures.INK,
    "muted": figures.MUTED,
    "grid": figures.GRID,
    "zone": figures.ZONE,
    "budget": figures.BUDGET,
    "plain": figures.PLAIN,
    "matched": figures.MATCHED,
    "untrained": figures.UNTRAINED,
    **{f"series-{order}": colour for order, colour in enumerate(figures.SERIES)},
}
PAPER = re.compile(rf'<g id="patch_\d+">\s*<path d="[^"]*" style="fill: {figures.PAPER}"/>\s*</g>')
"""The ground of a figure and of its panels, in whose place the page shows its own."""


def svg(drawn: str, *, name: str, described: str) -> Markup:
    """A figure's SVG as an element for the page: ids begin with `name`, colours and the ground are the page's.

    `described` is what a screen reader says of it.
    """
    drawn = PAPER.sub("", drawn[drawn.index("<svg") :])
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'style="([^"]*)"', _attributes, drawn)
    drawn = _compact(drawn)
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    drawn = re.sub(r'href="#', f'href="#{name}-', drawn).replace("url(#", f"url(#{name}-")
    drawn = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|xmlns(:xlink)?="[^"]*"|version="1.1"', "", drawn)
    drawn = drawn.replace("xlink:href", "href")
    for variable, colour in THEMED.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    title = f'<title id="{name}-title">{html.escape(described)}</title>'
    opening = f'<svg role="img" aria-labelledby="{name}-title" '
    return Markup(drawn.replace("<svg ", opening, 1).replace(">", f">{title}", 1).strip())


def _compact(drawn: str) -> str:
    """The same drawing in fewer characters: coordinates to a hundredth, no line breaks, no ids that nothing names."""
    drawn = re.sub(r"(\.\d\d)\d+", r"\1", drawn)
    drawn = re.sub(r'(?<= d=")[^"]{600,}', lambda path: re.sub(r"(\.\d)\d", r"\1", path[0]), drawn)
    named = set(re.findall(r"#([\w.-]+)", drawn))
    drawn = re.sub(r' id="([^"]*)"', lambda held: held[0] if held[1] in named else "", drawn)
    drawn = re.sub(r"\s*\n\s*", " ", drawn).replace("> <", "><").replace(' "', '"')
    drawn = re.sub(r"<!--.*?-->|<defs></defs>", "", drawn)
    while (fewer := re.sub(r"<g></g>|<g>((?:<(?:path|use)\b[^<>]*/>)+)</g>", r"\1", drawn)) != drawn:
        drawn = fewer
    return drawn


def _attributes(style: re.Match[str]) -> str:
    """The declarations of a style attribute, which the page's policy would refuse, as attributes of their own."""
    said = [part.split(":", 1) for part in html.unescape(style[1]).split(";") if part.strip()]
    kept = {name.strip(): value.strip() for name, value in said if name.strip() != "font-family"}
    return " ".join(f'{name}="{html.escape(value)}"' for name, value in kept.items())


def png(pixels: NDArray[np.generic], *, longest: int) -> str:
    """A grey picture as a PNG data URI: shrunk to sides of at most `longest`, its range spread from black to white."""
    return exact(spread(pixels, longest=longest))


def spread(pixels: NDArray[np.generic], *, longest: int) -> NDArray[np.uint8]:
    """A grey picture as uint8, shrunk to sides of at most `longest`, its range spread from black to white."""
    grey = np.asarray(pixels, dtype=np.float32)
    scale = longest / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    low, high = float(grey.min()), float(grey.max())
    return np.round((grey - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def exact(shown: NDArray[np.uint8]) -> str:
    """A picture of uint8 greys as a PNG data URI, as it is."""
    _, encoded = cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
