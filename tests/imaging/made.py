"""DICOM datasets made for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

Writer = Callable[..., Path]
"""Writes a dataset made of pixels and elements, and gives its path."""


def dataset(pixels: np.ndarray, **elements: Any) -> Dataset:
    """A DX image around stored pixels; `elements` are set last and override."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = "1.2.3"
    image.Modality = "DX"
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    image.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    image.BitsAllocated = image.BitsStored = 8 * pixels.itemsize
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        image.PlanarConfiguration = 0
    image.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    image["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    image.HighBit = elements.get("HighBit", image.BitsStored - 1)
    return image


def table(entries: np.ndarray, *, first: int, bits: int = 16) -> Sequence:
    """A modality or VOI table of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 2**16, first, bits])
    item.add_new("LUTData", "US", entries.astype(int).tolist())
    return Sequence([item])
