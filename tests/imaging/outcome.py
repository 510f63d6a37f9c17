"""What reading a series gives: its voxels, or a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privrad.imaging.scan import Scan
from privrad.imaging.series import read_series
from privrad.imaging.unreadable import Unreadable


def volume(scan: Scan) -> np.ndarray:
    """All voxels, [planes, rows, columns], in the shape that the scan says."""
    planes = np.stack(list(scan.planes()))
    assert planes.shape == scan.shape
    return planes


def refusal(path: Path) -> tuple[str, str]:
    """Why a folder or file gives no volume, and the remedy, met in its headers or its pixels."""
    with pytest.raises(Unreadable) as caught:
        volume(read_series(path))
    assert caught.value.remedy
    return caught.value.reason, caught.value.remedy
