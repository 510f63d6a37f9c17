"""What is a CT scan in Hounsfield units, and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from privrad.imaging import ct
from privrad.imaging.unreadable import Unreadable
from tests.imaging.made_scan import body, scan

SIZE, WINDOW = (24, 20, 12), (-150.0, 250.0)
BODY = body().astype(np.float64)
LABELS = np.digitize(np.indices(BODY.shape)[2], [10, 20, 24, 40])
NOT_CT = {
    "labels": (LABELS, "label_map"),
    "labels, as floats": (LABELS.astype(np.float32), "label_map"),
    "a mask": (LABELS == 2, "label_map"),
    "a mask of 255": (255 * (LABELS == 2).astype(np.uint8), "label_map"),
    "a thin mask": ((LABELS == 3) & (np.indices(LABELS.shape)[1] < 4), "label_map"),
    "an empty mask": (np.zeros((24, 40, 48), np.uint8), "constant_image"),
    "no rescale": (BODY + 1024, "not_hounsfield"),
    "no rescale, unsigned": ((BODY + 1100).astype(np.uint16), "not_hounsfield"),
    "no rescale, padded": (np.where(BODY < -980, -2048, BODY + 1024), "not_hounsfield"),
    "8 bits": (np.clip((BODY + 150) * 255 / 400, 0, 255).astype(np.uint8), "not_hounsfield"),
    "from 0 to 1": ((BODY + 1100) / 3000, "not_hounsfield"),
    "unit variance": ((BODY - BODY.mean()) / BODY.std(), "not_hounsfield"),
    "rescaled twice": (BODY - 1024, "not_hounsfield"),
    "labels, padded": (np.where(np.indices(BODY.shape)[1] < 6, -1024, LABELS), "not_hounsfield"),
    "magnetic resonance, padded": (np.where(BODY < -500, -1000, np.abs(BODY)), "not_hounsfield"),
    "a brain alone": (np.where(BODY < -50, 0, BODY), "not_hounsfield"),
    "magnetic resonance": (np.abs(np.random.default_rng(0).normal(300, 200, BODY.shape)), "not_hounsfield"),
}


@pytest.mark.parametrize("what", NOT_CT)
def test_what_is_no_ct(what: str) -> None:
    values, reason = NOT_CT[what]
    stored = values.astype(np.uint8) if values.dtype == bool else values
    with pytest.raises(Unreadable, match=f"^{reason}: .*; ") as caught:
        ct.prepare(scan(stored), size=SIZE, window=WINDOW)
    assert caught.value.reason == reason


CT = {
    "whole": BODY,
    "clipped to the window": np.clip(BODY, -150, 250),
    "from -1000 up": np.clip(BODY, -1000, None),
    "without air, but fat": np.where(BODY < -500, 40, BODY),
    "air of one value": np.where(BODY < -300, -1000, BODY),
    "padded far out": np.where(BODY < -980, -3024, BODY),
    "mostly air": np.select([np.indices(BODY.shape)[2] < 44, np.indices(BODY.shape)[2] < 45], [-1000, -500], 40),
    "smoothed to fractions": BODY + 0.25,
    "flat organs": np.where(BODY < -500, -1000, np.where(BODY < 0, -100, 50)),
}


@pytest.mark.parametrize("what", CT)
def test_what_is_ct(what: str) -> None:
    assert np.ptp(ct.prepare(scan(CT[what]), size=SIZE, window=WINDOW)) > 0
