"""Fixtures for images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.imaging.made import Writer, dataset


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write a dataset made of pixels and elements, compressed on request, and give its path."""

    def _write(pixels: np.ndarray, *, compress: str = "", name: str = "image", **elements: Any) -> Path:
        image = dataset(pixels, **elements)
        if compress:
            image.compress(compress, generate_instance_uid=False)
        path = tmp_path / name
        image.save_as(path, enforce_file_format=True)
        return path

    return _write


@pytest.fixture
def chest() -> np.ndarray:
    """A smooth 12-bit picture with noise, uint16 [90, 70]."""
    generator = np.random.default_rng(3)
    down, across = np.mgrid[-1:1:90j, -1:1:70j]
    body = 2000 + 1500 * np.exp(-4 * across**2) * np.cos(2 * down)
    pixels: np.ndarray = np.clip(body + generator.normal(0, 30, body.shape), 0, 4095).astype(np.uint16)
    return pixels
