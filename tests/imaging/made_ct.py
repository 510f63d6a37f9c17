"""CT series made for a test, written as a folder of DICOM slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from tests.imaging.made import dataset

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
FEET_FIRST = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SPACING = (2.5, 0.8, 0.7)
ORIGIN = (-12.0, -20.0, -300.0)
INTERCEPT = -1024

Edit = Callable[[int, Dataset], None]
"""Changes the dataset of one slice, by its number along the normal, before it is written."""


def body(shape: tuple[int, int, int] = (9, 24, 20)) -> np.ndarray:
    """Hounsfield units of an ellipsoid with noise, in air; every plane differs; int16 [planes, rows, columns]."""
    generator = np.random.default_rng(sum(shape))
    planes, rows, columns = (np.linspace(-1, 1, count) for count in shape)
    inside = planes[:, None, None] ** 2 / 3 + rows[:, None] ** 2 + columns**2 < 0.8
    units = np.where(inside, 40, -1000) + generator.normal(0, 12, shape)
    return units.clip(INTERCEPT, 3071).astype(np.int16)


def ct_slice(units: np.ndarray, *, position: Sequence[float], **elements: Any) -> Dataset:
    """One CT slice of Hounsfield units [rows, columns] at a place; `elements` are set last and override."""
    stored = (units.astype(np.int32) - INTERCEPT).astype(np.int16)
    usual: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesInstanceUID": "1.2.9",
        "FrameOfReferenceUID": "1.2.7",
        "SeriesNumber": 3,
        "ImagePositionPatient": [*map(float, position)],
        "ImageOrientationPatient": [*AXIAL],
        "PixelSpacing": [*SPACING[1:]],
        "RescaleSlope": 1,
        "RescaleIntercept": INTERCEPT,
        "RescaleType": "HU",
    }
    return dataset(stored, **(usual | elements))


def normal(orientation: Sequence[float]) -> np.ndarray:
    """The direction in which slices of an orientation are stacked."""
    return np.cross(orientation[:3], orientation[3:])


def positions(
    count: int, *, orientation: Sequence[float] = AXIAL, step: float = SPACING[0], lean: Sequence[float] = (0, 0, 0)
) -> np.ndarray:
    """Where the slices of an even series lie, float64 [count, 3]; `lean` is added from one to the next."""
    return np.array(ORIGIN) + np.outer(np.arange(count), step * normal(orientation) + np.asarray(lean))


def write_series(
    folder: Path,
    units: np.ndarray,
    *,
    places: np.ndarray | None = None,
    compress: str = "",
    edit: Edit | None = None,
    prefix: str = "",
    **elements: Any,
) -> list[Path]:
    """Write slices under names and instance numbers in no order, and give their paths in the order of `units`."""
    folder.mkdir(parents=True, exist_ok=True)
    orientation = elements.get("ImageOrientationPatient", AXIAL)
    places = positions(len(units), orientation=orientation) if places is None else places
    mixed = np.random.default_rng(len(units)).permutation(len(units)).tolist()
    paths = []
    for index, (plane, place) in enumerate(zip(units, places, strict=True)):
        name = mixed[index]
        uid = f"1.2.3.{1 + index}"
        one = ct_slice(plane, position=place, InstanceNumber=1 + mixed[-1 - index], SOPInstanceUID=uid, **elements)
        if edit:
            edit(index, one)
        if compress:
            one.compress(compress, generate_instance_uid=False)
        paths.append(folder / f"{prefix}{name:03d}")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths
