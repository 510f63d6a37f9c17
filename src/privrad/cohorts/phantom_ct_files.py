"""A drawn CT scan as a NIfTI file or as a series of DICOM slices, in the ways in which scanners store the same scan.

Read back, brought to one orientation and clipped to a window, each gives the same picture: what a scanner does not
keep is filled with values far below air.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from privrad.cohorts.abdomen import Drawn, Scanner

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FAST = 1  # gzip's level: noise does not get smaller with effort
_PLACE, _NUMBER = b"-88888888.8888", b"-99999"  # stand in a template for a coordinate and for a slice's number
_NIFTI_PADDING = -3024


@dataclass(frozen=True)
class Header:
    """What is written of the examination beside its voxels."""

    patient: str
    study: str
    sex: str
    age: int
    day: date
    scanner: Scanner
    phase: str
    entropy: Sequence[str]  # what the unique identifiers are made from


def nifti(drawn: Drawn, *, header: Header) -> bytes:
    """The bytes of a .nii.gz of int16 HU, its columns and rows as the scanner's archive has them."""
    made = header.scanner
    hu = np.where(drawn.kept, drawn.hu, np.int16(_NIFTI_PADDING))
    affine = _affine(drawn)
    flips = (made.ras, made.ras, made.downwards)  # of columns, rows and slices
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (hu.shape[2 - axis] - 1)
            affine[:3, axis] *= -1
            hu = np.flip(hu, 2 - axis)
    values = np.ascontiguousarray(hu).astype("<i2")
    head = Nifti1Header(endianness="<")
    head.set_data_dtype(values.dtype)
    head.set_data_shape(values.shape[::-1])
    head.set_qform(_LPS_TO_RAS @ affine, code=1)
    head.set_sform(_LPS_TO_RAS @ affine, code=1)
    head.set_xyzt_units("mm", "sec")
    head["vox_offset"], head["scl_slope"], head["scl_inter"], head["magic"] = 352, 1, 0, b"n+1"
    return gzip.compress(head.binaryblock + bytes(4) + values.tobytes(), _FAST, mtime=0)


def series(drawn: Drawn, *, header: Header, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each DICOM file of a scan, its names in no order of place; some scanners add a localizer."""
    made = header.scanner
    stored = _stored(drawn, made)
    affine = _affine(drawn)
    if made.feet_first:  # columns run to the patient's right
        affine[:3, 3] += affine[:3, 0] * (stored.shape[2] - 1)
        affine[:3, 0] *= -1
        stored = stored[:, :, ::-1]
    count = len(stored)
    names = rng.permutation(count + 1)
    template = _template(drawn, affine, header, stored.dtype)
    for instance in range(1, count + 1):
        place = count - instance if made.downwards else instance - 1
        position = affine[:3, 3] + affine[:3, 2] * place
        yield f"IM{names[instance]:04d}.dcm", template.filled(instance, position, stored[place].tobytes())
    if made.localizer:
        yield f"IM{names[0]:04d}.dcm", _localizer(drawn, header)


def _affine(drawn: Drawn) -> NDArray[np.float64]:
    """(column, row, slice, 1) to LPS mm."""
    affine = np.diag([drawn.pixel, drawn.pixel, drawn.thickness, 1.0])
    affine[:3, 3] = np.round(drawn.origin, 4)
    return affine


def _stored(drawn: Drawn, made: Scanner) -> NDArray[np.integer]:
    """The values as a scanner stores them, its padding where it keeps nothing."""
    kind = np.dtype("<i2" if made.signed else "<u2")
    values = drawn.hu.astype(np.int32) - made.intercept
    if made.padding is not None:
        values[:, ~drawn.kept] = made.padding
    return values.astype(kind)


def _uid(kind: str, header: Header) -> str:
    """A unique identifier of 58 characters, to which a number may be added."""
    return generate_uid(entropy_srcs=[kind, *header.entropy, header.patient, header.study])[:58]


@dataclass(frozen=True)
class _Template:
    """A file up to its pixels, in which a slice's number and place are still to be filled in."""

    head: bytes
    instance_uid: str

    def filled(self, instance: int, position: NDArray[np.float64], pixels: bytes) -> bytes:
        place = "\\".join(f"{value:14.4f}" for value in position)
        head = self.head.replace(b"\\".join([_PLACE] * 3), place.encode())
        head = head.replace(_PLACE, f"{position[2]:14.4f}".encode()).replace(_NUMBER, f"{instance:6d}".encode())
        return head.replace(self.instance_uid.encode(), f"{self.instance_uid[:58]}{instance:06d}".encode()) + pixels


def _template(drawn: Drawn, affine: NDArray[np.float64], header: Header, kind: np.dtype[np.generic]) -> _Template:
    """Writes the file of one slice once, for writing each anew would take longer than drawing it."""
    made = header.scanner
    uid = f"{_uid('instance', header)}000000"
    dataset = _describe(header, uid)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesInstanceUID, dataset.SeriesNumber = _uid("series", header), 2
    dataset.PatientPosition = "FFS" if made.feet_first else "HFS"
    dataset.InstanceNumber = _NUMBER.decode()
    dataset.ImagePositionPatient = [_PLACE.decode()] * 3
    dataset.ImageOrientationPatient = [int(value) for value in np.sign(affine[:3, :2].T.ravel())]
    dataset.SliceLocation = _PLACE.decode()
    dataset.SliceThickness = drawn.thickness
    dataset.PixelSpacing = [round(drawn.pixel, 8)] * 2
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = made.intercept, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 50, 400
    if made.padding is not None and made.names_padding:
        dataset.add_new(
            "PixelPaddingValue", "US", made.padding & 0xFFFF
        )  # unsigned beside signed pixels, as many write
    rows, columns = drawn.kept.shape
    content = _bytes(dataset, np.zeros((rows, columns), kind), implicit=made.implicit)
    return _Template(content[: -rows * columns * kind.itemsize], uid)


def _localizer(drawn: Drawn, header: Header) -> bytes:
    """The picture from the front that a scan is planned on, in a series of its own."""
    sums = np.clip(drawn.hu[::-1].astype(np.float32) + 1000, 0, None).mean(axis=1)
    dataset = _describe(header, f"{_uid('localizer', header)}1")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.SeriesInstanceUID, dataset.SeriesNumber = f"{_uid('series', header)}1", 1
    dataset.PatientPosition = "HFS"
    dataset.InstanceNumber = 1
    x, y, z = drawn.origin
    dataset.ImagePositionPatient = [round(x, 4), round(y, 4), round(z + drawn.thickness * (len(drawn.hu) - 1), 4)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dataset.PixelSpacing = [drawn.thickness, round(drawn.pixel, 8)]
    dataset.SliceThickness = 500
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    return _bytes(dataset, sums.astype("<i2"), implicit=header.scanner.implicit)


def _describe(header: Header, uid: str) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = header.day.strftime("%Y%m%d")
    dataset.StudyTime, dataset.AccessionNumber, dataset.ReferringPhysicianName = "", "", ""
    dataset.Modality = "CT"
    dataset.Manufacturer, dataset.ManufacturerModelName = "privrad phantom", f"Scanner {header.scanner.name}"
    dataset.PatientName, dataset.PatientID = f"PHANTOM^{header.patient}", header.patient
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "", header.sex, f"{header.age:03d}Y"
    dataset.BodyPartExamined, dataset.ContrastBolusAgent = "ABDOMEN", f"drawn, {header.phase}"
    dataset.KVP = 120
    dataset.StudyInstanceUID, dataset.StudyID = _uid("study", header), header.study
    dataset.FrameOfReferenceUID = _uid("frame", header)
    return dataset


def _bytes(dataset: Dataset, pixels: NDArray[np.generic], *, implicit: bool) -> bytes:
    """A DICOM Part 10 file that ends with its pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.file_meta = meta
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
