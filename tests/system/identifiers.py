"""A hospital's cohorts full of identifiers: in each element of DICOM that holds text, in tables, names and NIfTI."""

from __future__ import annotations

import csv
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from privrad.cohorts import chest

TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
BYTES = {"OB", "OW", "UN"}
READ = {
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "Modality", "ConversionType", "PresentationLUTShape"),
    *("BurnedInAnnotation", "PhotometricInterpretation", "PixelData", "VOILUTFunction", "RescaleType", "LUTData"),
}
"""Elements that say what a picture is, so that another value would be another picture."""
DAYS = {"DA": "19110317", "DT": "19110317101112.131415", "TM": "101112.131415"}
WRITTEN = ("19110317", "1911-03-17", "101112.131415")
"""The one day and time that are planted, and how they are written."""
DEEP = 8
PRIVATE_GROUPS = (0x0009, 0x0029, 0x6001)


@dataclass
class Planted:
    """Identifiers that were planted, each with its place; no two are alike."""

    rng: np.random.Generator
    places: dict[str, str] = field(default_factory=dict)

    def new(self, place: str) -> str:
        """An identifier of 12 letters and digits that no chance makes twice."""
        letters = list(string.ascii_uppercase + string.digits)
        text = "QZ" + "".join(self.rng.choice(letters, size=10))
        self.places[text] = place
        return text

    def uid(self, place: str) -> str:
        """The same as a unique identifier of DICOM."""
        text = "".join(map(str, self.rng.integers(1, 10, size=24)))
        self.places[text] = place
        return f"2.25.{text}"

    def in_dicom(self, image: Dataset, *, name: str) -> None:
        """Plant an identifier in each element that can hold one and is not there or not read as a picture."""
        for tag, (vr, *_) in {**DicomDictionary, **dict(_repeated())}.items():
            keyword = keyword_for_tag(tag) or f"{tag:08X}"
            if keyword in READ or tag >> 16 < 8 or tag >> 16 == 0xFFFE or tag & 0xFFFF == 0:
                continue
            place = f"{name}: {keyword}"
            if vr in TEXT:
                image.add_new(tag, vr, self.new(place))
            elif vr == "UI":
                image.add_new(tag, vr, self.uid(place))
            elif vr in DAYS:
                image.add_new(tag, vr, DAYS[vr])
            elif vr in BYTES and tag not in image:
                image.add_new(tag, vr, self.new(place).encode())
        for group in PRIVATE_GROUPS:
            image.private_block(group, self.new(f"{name}: private creator"), create=True).add_new(
                0x10, "LO", self.new(f"{name}: private element of {group:04X}")
            )
        image.RequestAttributesSequence = Sequence([self._nested(DEEP, name=name)])

    def _nested(self, depth: int, *, name: str) -> Dataset:
        item = Dataset()
        item.PatientName = self.new(f"{name}: sequence {DEEP - depth + 1} deep")
        item.private_block(0x0011, self.new(f"{name}: private creator in a sequence"), create=True)
        if depth > 1:
            item.RequestAttributesSequence = Sequence([self._nested(depth - 1, name=name)])
        return item


def _repeated() -> Iterator[tuple[int, tuple[str, ...]]]:
    """Two groups of each repeating element, such as the overlays of 60xx."""
    for mask, entry in RepeatersDictionary.items():
        for group in ("00", "02"):
            yield int(mask.replace("xx", group, 1).replace("x", "0"), 16), entry


def radiographs(root: Path, planted: Planted, *, count: int) -> None:
    """A cohort of the layout uka_cxr: one DICOM file a patient, all of it private."""
    rng = np.random.default_rng(11)
    named = {column: planted.new(f"header {column}") for column in ("name", "born", "ward")}
    rows = []
    for number in range(count):
        patient, study, file = (planted.new(f"{what} of row {number}") for what in ("patient", "study", "file"))
        folder = planted.new(f"folder of row {number}")
        (root / folder).mkdir(parents=True)
        ill = number % 2
        body = chest.draw_body(rng, sex="F", age=60.0)
        devices = chest.draw_devices(rng, body=body, bedside=False)
        grades = {"cardiomegaly": 3 * ill}
        drawn = chest.frontal(body, grades, style="private", bedside=False, devices=devices, size=64, rng=rng)
        _dicom(root / folder / f"{file}.dcm", np.rint(drawn * 4095).astype(np.uint16), planted, name=f"image {number}")
        own = [planted.new(f"{column} of row {number}") for column in named]
        path = f"{folder}/{file}.dcm" if number else f"{folder}/{planted.new('a missing file')}.dcm"
        known = (40 + number, "FM"[number % 2], "PA", "no", ("normal", "severe")[ill])
        rows.append([path, patient, study, "1911-03-17", *known, *own])
    rows.append([*rows[1][:-4], planted.new("a label that is none"), *rows[1][-3:]])
    about = ("age", "sex", "view", "bedside", "heart")
    header = ["image", "patient_id", "study_id", "study_date", *about, *named.values()]
    with (root / "uka_cxr.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def _dicom(path: Path, pixels: np.ndarray, planted: Planted, *, name: str) -> None:
    image = Dataset()
    planted.in_dicom(image, name=name)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPInstanceUID = UID(planted.uid(f"{name}: media storage instance"))
    image.file_meta.SourceApplicationEntityTitle = planted.new(f"{name}: source application")
    image.preamble = planted.new(f"{name}: preamble").encode().ljust(128, b"\0")
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.Modality = "DX"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PixelRepresentation = 1, 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PhotometricInterpretation = "MONOCHROME2"
    for keyword in ("ModalityLUTSequence", "VOILUTSequence", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in image:
            del image[keyword]
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    image.save_as(path, enforce_file_format=True)


def scans(root: Path, planted: Planted, drawn: Path, *, count: int) -> None:
    """A cohort of the layout pdac: NIfTI files whose headers are full of identifiers."""
    rows = []
    for number, source in enumerate(sorted(drawn.glob("**/*.nii.gz"))[:count]):
        patient, study, file = (planted.new(f"{what} of scan {number}") for what in ("patient", "study", "file"))
        scan = nibabel.Nifti1Image.from_filename(source)
        copy = nibabel.Nifti1Image(np.asanyarray(scan.dataobj), scan.affine, scan.header)
        for field_name in ("descrip", "aux_file", "intent_name", "db_name"):
            size = copy.header[field_name].dtype.itemsize
            copy.header[field_name] = planted.new(f"scan {number}: {field_name}")[:size].encode()
        copy.header.extensions.append(
            nibabel.nifti1.Nifti1Extension(6, planted.new(f"scan {number}: extension").encode())
        )
        nibabel.save(copy, root / f"{file}.nii.gz")
        part = ("test", "train", "validation")[number // 2 % 3]
        rows.append([f"{file}.nii.gz", patient, study, 50 + number, "M", part, number % 2])
    with (root / "pdac.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["scan", "patient_id", "study_id", "age", "sex", "split", "pdac"], *rows])
