"""Nothing but the allowed elements of a DICOM file is read, whatever stands in the others."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.config import disable_value_validation
from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import privrad
from privrad.imaging import allowed
from privrad.imaging.dicom import read_dicom
from privrad.imaging.series import read_series
from privrad.imaging.unreadable import Unreadable
from privrad.imaging.walk import read_header
from tests.imaging.made import dataset, table
from tests.imaging.made_ct import body, write_series
from tests.imaging.outcome import refusal, volume

NAME = "Roe^Jane 19570823"
TEXT = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
NUMBERS_AS_TEXT = ("DS", "IS")
BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
EVERYTHING = {**allowed.RADIOGRAPH, **allowed.SLICE, **allowed.PIXELS}


@pytest.fixture(autouse=True)
def _unvalidated() -> Iterator[None]:
    with disable_value_validation():
        yield


@functools.cache
def nested(depth: int) -> Sequence:
    """A sequence in a sequence, and so on, with a name in each item; lengths are given and left open in turn."""
    item = Dataset()
    item.PatientName = NAME
    if depth > 1:
        item.add_new(0x00081140, "SQ", nested(depth - 1))
        item[0x00081140].is_undefined_length = depth % 2 == 0
    item.is_undefined_length_sequence_item = depth % 3 == 0
    return Sequence([item])


def plant(image: Dataset, tag: int, representation: str) -> None:
    """Put the name into an element, in whatever way its representation can hold one."""
    if representation in TEXT:
        image.add_new(tag, representation, NAME)
    elif representation in NUMBERS_AS_TEXT:
        image.add_new(tag, "LO", NAME)
    elif representation in BYTES:
        image.add_new(tag, "OB", NAME.encode() + b" ")
    elif representation == "SQ":
        image.add_new(tag, "SQ", nested(1 + tag % 8))
        image[tag].is_undefined_length = tag % 3 == 0


def identified(syntax: UID, pixels: np.ndarray) -> bytes:
    """A file with a name in every element of the dictionary that privrad has no use for, and in private ones."""
    image = dataset(pixels, VOILUTSequence=table(np.arange(256), first=0))
    places = {tag: entry[0] for tag, entry in DicomDictionary.items()}
    for mask, entry in RepeatersDictionary.items():
        for repeat in ("00", "02"):
            tail = mask.replace("xx", repeat).replace("x", "0")
            places.setdefault(int(tail, 16), entry[0])
    for tag, representation in places.items():
        first = representation.split(" ")[0]
        if 0x00080000 <= tag < 0x7FE00000 and tag not in allowed.tags(EVERYTHING) | {0x00080005}:
            plant(image, tag, first)
    for group in (0x0009, 0x0029, 0x2001, 0x7001):
        image.add_new(group << 16 | 0x10, "LO", NAME)
        for number, representation in enumerate((*TEXT, "UN", "SQ")):
            plant(image, group << 16 | 0x1000 + number, representation)
    image.add_new(0xFFFCFFFC, "OB", NAME.encode() + b" ")
    image.VOILUTSequence[0].LUTExplanation = NAME
    image.VOILUTSequence[0].PatientName = NAME
    image.VOILUTSequence[0].add_new(0x00081140, "SQ", nested(8))
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.SourceApplicationEntityTitle = NAME
    image.file_meta.PrivateInformationCreatorUID = UID(NAME)
    image.file_meta.PrivateInformation = NAME.encode() + b" "
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = UID(NAME)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return NAME.encode().ljust(128) + stream.getvalue()[128:]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_name_in_every_other_element_is_never_read(syntax: UID) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 20)).astype(np.uint8)
    content = identified(syntax, pixels)
    if syntax != DeflatedExplicitVRLittleEndian:
        assert content.count(NAME.encode()) > 4000
    for wanted in (allowed.RADIOGRAPH, allowed.SLICE):
        header = read_header(io.BytesIO(content), allowed.tags(wanted))
        assert set(header.elements.keys()) <= allowed.tags(wanted)
        assert len(header.elements) >= 10
        assert set(header.elements.file_meta.keys()) <= allowed.tags(allowed.META)
        held = pickle.dumps([header.elements, header.elements.file_meta])
        assert b"Roe" not in held
        assert b"1957" not in held
    (item,) = read_header(io.BytesIO(content), allowed.tags(allowed.RADIOGRAPH)).elements.VOILUTSequence
    assert {element.keyword for element in item} == {"LUTDescriptor", "LUTData"}
    np.testing.assert_array_equal(read_dicom(io.BytesIO(content)), pixels)


@pytest.mark.parametrize("keyword", [*allowed.RADIOGRAPH, *allowed.META])
def test_a_name_in_an_allowed_element_is_never_told(keyword: str, caplog: pytest.LogCaptureFixture) -> None:
    image = dataset(np.arange(400, dtype=np.uint8).reshape(20, 20), WindowCenter=100, WindowWidth=80)
    if keyword in allowed.META:
        setattr(image.file_meta, keyword, NAME)
    else:
        image.add_new(*_as_text(keyword))
    stream = io.BytesIO()
    image.save_as(stream, implicit_vr=False, little_endian=True, enforce_file_format=False)
    content = (bytes(128) + b"DICM") * (not stream.getvalue()[128:].startswith(b"DICM")) + stream.getvalue()
    with caplog.at_level(logging.DEBUG), _in_silence():
        read_dicom(io.BytesIO(content))
    assert not _told(caplog.text)


def _as_text(keyword: str) -> tuple[str, str, Any]:
    sequence = keyword.endswith("Sequence")
    return keyword, "SQ" if sequence else "LO", table_of_text() if sequence else NAME


def table_of_text() -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "LO", NAME)
    item.add_new("LUTData", "LO", NAME)
    return Sequence([item])


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Whatever is refused within is refused without the name."""
    told = False
    try:
        yield
    except Unreadable as error:
        told = _told(str(error))
    assert not told


def _told(text: str) -> bool:
    return "Roe" in text or "Jane" in text or "1957" in text


@pytest.mark.parametrize("keyword", [*allowed.SLICE])
def test_a_name_in_an_allowed_element_of_a_slice_is_never_told(
    keyword: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def edit(index: int, one: Dataset) -> None:
        if index % 2:
            one.add_new(*_as_text(keyword))

    write_series(tmp_path, body((4, 6, 8)), edit=edit)
    with caplog.at_level(logging.DEBUG):
        for path in (tmp_path, tmp_path / "001"):
            with _in_silence():
                volume(read_series(path))
    assert not _told(caplog.text)


def test_the_list_is_short_and_says_why() -> None:
    assert len(allowed.RADIOGRAPH) <= 32
    assert len(allowed.SLICE) <= 32
    assert all(len(why) > 8 for why in EVERYTHING.values())
    for group in (allowed.RADIOGRAPH, allowed.SLICE, allowed.META, allowed.TABLE, allowed.PIXELS):
        assert len(allowed.tags(group)) == len(group)


ASIDE: list[tuple[str, dict[str, Any]]] = [
    ("burned_in_annotation", {"BurnedInAnnotation": "YES"}),
    ("secondary_capture", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
    ("secondary_capture", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}),
    ("secondary_capture", {"ConversionType": "DF"}),
    ("secondary_capture", {"ConversionType": "WSD"}),
    ("burned_in_annotation", {"BurnedInAnnotation": ["YES", "YES"]}),
    ("burned_in_annotation", {"BurnedInAnnotation": ["NO", "YES"]}),
    ("burned_in_annotation", {"BurnedInAnnotation": "Y"}),
    ("secondary_capture", {"ConversionType": ["WSD", "WSD"]}),
    ("secondary_capture", {"ConversionType": ["", "wsd"]}),
    ("secondary_capture", {"SOPClassUID": ["1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.1"]}),
    ("secondary_capture", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
    ("secondary_capture", {"ImageType": "screen_save"}),
]


@pytest.mark.parametrize(("reason", "elements"), ASIDE)
def test_what_may_show_names_is_set_aside_unless_trusted(reason: str, elements: dict[str, Any], tmp_path: Path) -> None:
    image = dataset(np.arange(400, dtype=np.uint8).reshape(20, 20), **elements)
    image.save_as(tmp_path / "image", enforce_file_format=True)
    with (tmp_path / "image").open("rb") as stream, pytest.raises(Unreadable) as caught:
        read_dicom(stream)
    assert caught.value.reason == reason
    with (tmp_path / "image").open("rb") as stream:
        np.testing.assert_array_equal(read_dicom(stream, trusted=True), image.pixel_array)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_document_is_none_even_if_trusted(number: int) -> None:
    kind = f"1.2.840.10008.5.1.4.1.1.104.{number}"
    image = dataset(np.arange(400, dtype=np.uint8).reshape(20, 20), SOPClassUID=kind)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    for trusted in (True, False):
        stream.seek(0)
        with pytest.raises(Unreadable) as caught:
            read_dicom(stream, trusted=trusted)
        assert caught.value.reason == "encapsulated_document"


@pytest.mark.parametrize(
    "elements",
    [
        {"BurnedInAnnotation": "NO"},
        {"BurnedInAnnotation": ["NO", ""]},
        {"ConversionType": ""},
        {"ImageType": ["DERIVED", "SECONDARY", "POST_PROCESSED"]},
        {},
    ],
)
def test_what_shows_no_names_is_read(elements: dict[str, Any]) -> None:
    image = dataset(np.arange(400, dtype=np.uint8).reshape(20, 20), **elements)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    np.testing.assert_array_equal(read_dicom(stream), image.pixel_array)


def test_a_long_number_is_not_told() -> None:
    image = dataset(np.arange(400, dtype=np.uint8).reshape(20, 20))
    image.add_new("NumberOfFrames", "LO", "19570823" * 40)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    with pytest.raises(Unreadable, match=r"^several_frames: an impossible number of frames; ") as caught:
        read_dicom(stream)
    assert not _told(str(caught.value))


def test_overlays_are_never_drawn() -> None:
    """Neither one of its own nor one in the bits above those stored."""
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    image = dataset(pixels | np.uint16(0x8000) * (pixels % 3 == 0), BitsStored=12, HighBit=11)
    elements = [
        (0x10, "US", 20),
        (0x11, "US", 20),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
        (0x3000, "OW", b"\xff" * 50),
    ]
    for number, representation, value in [*elements, (0x100, "US", 1), (0x102, "US", 0)]:
        image.add_new(0x60000000 | number, representation, value)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    np.testing.assert_array_equal(read_dicom(stream), pixels)


def test_a_slice_that_shows_names_is_set_aside_unless_trusted(tmp_path: Path) -> None:
    write_series(tmp_path, body((4, 6, 8)), BurnedInAnnotation="YES")
    assert refusal(tmp_path)[0] == "burned_in_annotation"
    assert read_series(tmp_path, trusted=True).shape == (4, 6, 8)


def test_tables_in_implicit_encoding(tmp_path: Path) -> None:
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    curve = np.sqrt(np.arange(4096)) * 100
    image = dataset(pixels, BitsStored=12, VOILUTSequence=table(curve, first=0), SOPClassUID=CTImageStorage)
    values = []
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        image.file_meta.TransferSyntaxUID = syntax
        stream = io.BytesIO()
        image.save_as(stream, enforce_file_format=True)
        stream.seek(0)
        values.append(read_dicom(stream))
    np.testing.assert_array_equal(values[0], curve.astype(int)[pixels])
    np.testing.assert_array_equal(values[0], values[1])


def test_no_header_is_read_by_another_reader() -> None:
    """The drawn cohorts' files alone are, which are made here."""
    modules = {path for path in Path(privrad.__file__).parent.rglob("*.py") if "dcmread" in path.read_text()}
    assert {path.name for path in modules} == {"phantom_dicom.py"}


def test_the_documentation_names_each_of_them_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/deidentification.md").read_text()
    rows = page.split("| | elements |")[1].split("\n\n")[0]
    named = {word for word in re.findall(r"\w+", rows) if word in keyword_dict}
    assert named == {*EVERYTHING, *allowed.META, *allowed.TABLE}
