"""Text burned into radiographs: found where it was put, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.burned_in import Draw, burned, by_opencv, by_typeface, is_found, phantom
from privrad.imaging.burned_in import text_lines
from privrad.imaging.read import read_radiograph

TEXTS = ("KOWALSKI", "Doe^John", "12.03.1957", "19840615", "MRN 4471093", "Nguyen Thi Hoa", "98431", "5/22/1954")
WITH_TEXT = {  # by eye: words of how it was taken, but for one, which warns; no name is among them
    "14d81f378173b86cc53f21d2d67040_jumbo.jpeg",
    "1e64990d1b40c1758a2aaa9c7f7a85_jumbo.jpeg",
    "2eadbbb367a0366d8c34350d083a83_jumbo.jpeg",
    "503d2fbe68cd143b0f15749b4f816b_jumbo.jpeg",
    "50e51fcefaa760d0757eeae6eb0858_jumbo.jpeg",
    "8eda8be6369c87e0899f6d1642e97b_jumbo.jpeg",
    "covid-19-pneumonia-41-day-2.jpg",
    "e73d6e89fcd781b8afd159cf533358_jumbo-1.jpeg",
    "00000150_002.png",
    "00002491_012.png",
    "00004832_030.png",
}


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    """Drawn radiographs of 1024 pixels with a side marker and, on most, devices, but no words; of several styles."""
    return [phantom(seed, size=1024) for seed in range(4)]


@pytest.mark.parametrize("draw", [by_opencv, by_typeface])
def test_names_dates_and_ids_are_found(phantoms: list[np.ndarray], draw: Draw) -> None:
    """In ten to sixty pixels, white and black: all but 1 of 32 where they lie."""
    rng = np.random.default_rng(7)
    missed = []
    for picture in phantoms:
        for text in TEXTS:
            height = int(np.exp(rng.uniform(np.log(10), np.log(60))))
            ink = draw(text, height, rng)
            if ink.shape[1] > 900:
                continue
            marked, box = burned(picture, ink, rng)
            if not is_found(marked, box):
                missed.append((text, height))
    assert len(missed) <= 1


def test_side_markers_devices_and_anatomy_are_no_text(phantoms: list[np.ndarray]) -> None:
    assert [text_lines(picture) for picture in phantoms] == [[]] * len(phantoms)


@pytest.mark.parametrize("text", ["L", "R", "AP", "PA", "LL"])
def test_a_marker_of_one_or_two_letters_is_no_line(phantoms: list[np.ndarray], text: str) -> None:
    rng = np.random.default_rng(1)
    for height in (12, 24, 48):
        marked, _ = burned(phantoms[0], by_typeface(text, height, rng), rng)
        assert text_lines(marked) == []


def test_real_pictures_with_words_and_without(real_data: Path) -> None:
    flagged, seen = set(), 0
    for folder in ("cxr_covid", "cxr_nih"):
        for path in sorted((real_data / folder / "images").iterdir()):
            with Image.open(path) as picture:
                large = max(picture.size) > 700
            if large:
                seen += 1
                flagged |= {path.name} if text_lines(read_radiograph(path)) else set()
    assert seen == 27
    assert flagged == WITH_TEXT


@pytest.mark.parametrize("type_", [np.uint8, np.uint16, np.int32, np.float64])
def test_whatever_the_numbers_mean(phantoms: list[np.ndarray], type_: type[np.generic]) -> None:
    rng = np.random.default_rng(3)
    marked, box = burned(phantoms[1], by_typeface("KOWALSKI", 20, rng), rng)
    for picture in ((marked * 250).astype(type_), 40_000 - 3000 * marked.astype(np.float64)):
        assert len(text_lines(picture)) == 1
        assert is_found(picture, box)


def test_pictures_that_show_nothing() -> None:
    rng = np.random.default_rng(0)
    ruler = np.zeros((800, 800), np.float32)
    ruler[100:130, 50:700:20] = 1
    for picture in (
        np.ones((500, 500)),
        np.full((500, 500), np.nan),
        rng.random((40, 900)),
        rng.random((700, 900)),
        np.kron(np.indices((90, 90)).sum(axis=0) % 2, np.ones((10, 10))),
        ruler,
    ):
        assert text_lines(picture) == []
