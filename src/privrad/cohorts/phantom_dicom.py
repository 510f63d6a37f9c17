"""A drawn radiograph as a DICOM file, in the many ways in which hospitals store the same picture.

Read back by rescale, then VOI (window or LUT), then inversion of MONOCHROME1, each file gives its picture again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from privrad.cohorts.drawing.canvas import Picture

_CLASSES = {"DX": "1.2.840.10008.5.1.4.1.1.1.1", "CR": "1.2.840.10008.5.1.4.1.1.1"}
_SYNTAXES = (ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless)
_SHARES = (0.68, 0.89, 1.0)  # of the syntaxes, cumulated; RLE is the slow one to write
_LUT_ENTRIES = 2048


@dataclass(frozen=True)
class Storage:
    """How one picture is stored."""

    modality: str
    photometric: str
    bits: int
    syntax: str
    lut: bool
    rescale: tuple[float, float] | None  # slope, intercept


@dataclass(frozen=True)
class Header:
    """What the tags say of the examination."""

    patient: str
    study: str
    instance: int
    sex: str
    age: int
    day: date
    view: str
    entropy: Sequence[str]  # what the unique identifiers are made from


def draw_storage(rng: np.random.Generator) -> Storage:
    """One of the ways of storing, at random; a LUT comes without rescaling."""
    lut = bool(rng.random() < 0.35)
    rescale = None
    if rng.random() < 0.5 and not lut:
        rescale = ((0.25, 0.5, 1.0, 2.0)[rng.integers(4)], (-1024.0, -100.0, 0.0, 50.0)[rng.integers(4)])
    return Storage(
        modality=("DX", "CR")[rng.integers(2)],
        photometric=("MONOCHROME1", "MONOCHROME2")[rng.integers(2)],
        bits=(12, 14, 16)[rng.integers(3)],
        syntax=_SYNTAXES[int(np.searchsorted(_SHARES, rng.random(), side="right"))],
        lut=lut,
        rescale=rescale,
    )


def encode(picture: Picture, *, header: Header, storage: Storage, rng: np.random.Generator) -> bytes:
    """The bytes of a DICOM Part 10 file that shows `picture` (float32 in [0, 1], bright where dense)."""
    dataset = _describe(header, storage)
    shown = 1 - picture if storage.photometric == "MONOCHROME1" else picture
    stored = _by_lut(dataset, shown, storage, rng) if storage.lut else _by_window(dataset, shown, storage, rng)
    _image(dataset, stored, storage)
    if storage.syntax != ExplicitVRLittleEndian:
        plugin = "pydicom" if storage.syntax == RLELossless else "pylibjpeg"
        dataset.compress(storage.syntax, encoding_plugin=plugin, generate_instance_uid=False)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _describe(header: Header, storage: Storage) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = _CLASSES[storage.modality]
    dataset.SOPInstanceUID = _uid("image", header, str(header.instance))
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = header.day.strftime(
        "%Y%m%d"
    )
    dataset.StudyTime = dataset.ContentTime = f"{8 + header.instance % 10:02d}1500"
    dataset.AccessionNumber = ""
    dataset.Modality = storage.modality
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer = "privrad phantom"
    dataset.InstitutionName = "Phantom Hospital"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Chest, drawn by computer"
    dataset.PatientName = f"PHANTOM^{header.patient}"
    dataset.PatientID = header.patient
    dataset.PatientBirthDate = ""
    dataset.PatientSex = header.sex
    dataset.PatientAge = f"{header.age:03d}Y"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = header.view
    dataset.PatientOrientation = ["L", "F"]
    dataset.StudyInstanceUID = _uid("study", header)
    dataset.SeriesInstanceUID = _uid("series", header, str(header.instance))
    dataset.StudyID = header.study
    dataset.SeriesNumber = dataset.InstanceNumber = header.instance
    dataset.BurnedInAnnotation = "NO"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return dataset


def _uid(kind: str, header: Header, *more: str) -> str:
    return generate_uid(entropy_srcs=[kind, *header.entropy, header.patient, header.study, *more])


def _image(dataset: Dataset, stored: NDArray[np.uint16], storage: Storage) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = storage.photometric
    dataset.PresentationLUTShape = "INVERSE" if storage.photometric == "MONOCHROME1" else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = [round(430 / max(stored.shape), 4)] * 2
    dataset.BitsAllocated = 16
    dataset.BitsStored = storage.bits
    dataset.HighBit = storage.bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"


def _by_window(dataset: Dataset, shown: Picture, storage: Storage, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Stored values that a linear window (PS3.3 C.11.2.1.2.1) maps onto the picture."""
    top = 2**storage.bits - 1
    low, high = int(top * rng.uniform(0.02, 0.2)), int(top * rng.uniform(0.6, 0.97))
    slope, intercept = storage.rescale or (1.0, 0.0)
    if storage.rescale is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
    darkest, brightest = slope * low + intercept, slope * high + intercept
    dataset.WindowCenter = (darkest + brightest) / 2 + 0.5
    dataset.WindowWidth = brightest - darkest + 1
    stored: NDArray[np.uint16] = np.rint(low + shown * np.float32(high - low)).astype(np.uint16)
    return stored


def _by_lut(dataset: Dataset, shown: Picture, storage: Storage, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Stored values that a power curve in a VOI LUT maps onto the picture."""
    first = int(rng.integers(0, 2**storage.bits - _LUT_ENTRIES + 1))
    power, depth = rng.uniform(0.7, 1.5), (12, 16)[rng.integers(2)]
    table = np.rint(np.linspace(0, 1, _LUT_ENTRIES) ** power * (2**depth - 1)).astype(np.uint16)
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [_LUT_ENTRIES, first, depth])
    lut.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    dataset.VOILUTSequence = pydicom.Sequence([lut])
    stored: NDArray[np.uint16] = (first + np.rint(shown ** np.float32(1 / power) * (_LUT_ENTRIES - 1))).astype(
        np.uint16
    )
    return stored
