"""The pictures of the documents: the top of the demonstration's report, and sheets of drawn radiographs and CT scans.

python -m tools.pictures results/demo docs/images
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from privrad.cohorts import abdomen, chest
from privrad.imaging.read import read_radiograph

FLAGS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking --no-first-run"


def sheet(cohort: Path, out: Path, *, count: int = 24, columns: int = 8) -> None:
    """The first radiographs of one drawn cohort, one a patient, side by side."""
    chosen = [next(iter(sorted(folder.iterdir()))) for folder in sorted((cohort / "images").iterdir())[:count]]
    pictures = [_greys(read_radiograph(path)) for path in chosen]
    out.write_bytes(chest.sheet(pictures, columns=columns, cell=160))


def scans(out: Path, *, size: int = 256) -> None:
    """Two drawn patients, each without a tumour and with one: five axial slices, a coronal and a sagittal plane."""
    drawn = []
    for seed, sex, age, phase in ((3, "M", 66, "pancreatic"), (8, "F", 58, "portal")):
        rng = np.random.default_rng(seed)
        body, scanner = abdomen.draw_body(rng, sex=sex, age=age), abdomen.draw_scanner(rng)
        for tumour in (False, True):
            fresh = np.random.default_rng([seed, 1])
            drawn.append(abdomen.draw(body, tumour=tumour, scanner=scanner, phase=phase, size=size, rng=fresh))
    out.write_bytes(abdomen.sheet(drawn, cell=180))


def screenshot(page: Path, out: Path) -> None:
    """The top of a page as headless Chromium shows it."""
    with tempfile.TemporaryDirectory() as profile:
        place = [
            f"--user-data-dir={profile}",
            f"--screenshot={out}",
            "--window-size=1000,1340",
            page.resolve().as_uri(),
        ]
        subprocess.run(["chromium", *FLAGS.split(), *place], check=True, capture_output=True)


def _greys(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels.astype(np.float32) - low) / (high - low)


if __name__ == "__main__":
    results, images = Path(sys.argv[1]), Path(sys.argv[2])
    sheet(results / "chest/phantom/private", images / "phantoms.png")
    scans(images / "scans.png")
    screenshot(results / "report.html", images / "report.png")
