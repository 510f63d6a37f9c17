"""Every real PNG and JPEG, against another reader."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from privrad.imaging.read import read_radiograph


@pytest.mark.parametrize(("folder", "count", "most"), [("cxr_nih", 569, 0.0), ("cxr_covid", 189, 0.03)])
def test_every_picture_as_opencv_reads_it(real_data: Path, folder: str, count: int, most: float) -> None:
    """Grey ones to a level; of JPEGs in colour, whose luma OpenCV takes from the file, nearly all pixels."""
    files = sorted((real_data / folder / "images").iterdir())
    assert len(files) == count
    apart = {}
    for path in files:
        other = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert other is not None
        values = read_radiograph(path)
        assert values.shape == other.shape
        apart[path.name] = float((np.abs(values - other.astype(np.float32)) > 1.01).mean())
    assert max(apart.values()) <= most, max(apart, key=lambda name: apart[name])
    assert sum(share > 0 for share in apart.values()) <= 5
