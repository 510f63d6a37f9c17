"""DICOM files made to take more memory or time than they have bytes: each gives a written reason, and takes neither."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from privrad.imaging import allowed, rle
from privrad.imaging.codestream import Codestream, codestream
from privrad.imaging.dicom import read_dicom
from privrad.imaging.quiet import quiet
from privrad.imaging.unreadable import Unreadable
from privrad.imaging.walk import read_header
from tests.imaging.made import dataset

MIB = 2**20
SEQUENCE, ITEM = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0"
OPEN = b"\xff\xff\xff\xff"
ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)


@contextmanager
def at_most(size: float) -> Iterator[None]:
    """Fail where Python and numpy hold more than so many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size


def written(image: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    image.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def chest(side: int = 32) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4096, (side, side)).astype(np.uint16)


def refusal(content: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_dicom(io.BytesIO(content))
    return caught.value


def coded(frame: bytes, syntax: UID, side: int = 32, **elements: object) -> bytes:
    """A file around a compressed frame, whatever it decodes to."""
    image = dataset(chest(side), **elements)
    image.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    return written(image, syntax)


def before_pixels(extra: bytes, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """A file with more bytes between its meta information and its first element."""
    whole = written(dataset(chest()), syntax)
    place = whole.index(b"\x08\x00\x16\x00")
    return whole[:place] + extra + whole[place:]


# Inflation


def deflated(mebibytes: int) -> bytes:
    whole = written(dataset(chest()), ExplicitVRLittleEndian)
    place = whole.index(b"\x08\x00\x16\x00")
    plain, packed_syntax = (
        b"UI\x14\0" + ExplicitVRLittleEndian.encode(),
        b"UI\x16\0" + DeflatedExplicitVRLittleEndian.encode(),
    )
    meta = whole[:place].replace(plain + b"\0", packed_syntax)
    engine = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = engine.compress(b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", mebibytes * MIB))
    zeros = bytes(MIB)
    packed += b"".join(engine.compress(zeros) for _ in range(mebibytes))
    return meta + packed + engine.compress(whole[place:]) + engine.flush()


def test_a_deflated_file_may_inflate_so_far_and_no_further() -> None:
    image = dataset(chest())
    np.testing.assert_array_equal(read_dicom(io.BytesIO(written(image, DeflatedExplicitVRLittleEndian))), chest())
    bomb = deflated(300)
    assert len(bomb) < 2 * MIB
    with at_most(200 * MIB):
        error = refusal(bomb)
    assert error.reason == "too_large"
    assert "deflated bytes inflate" in error.remedy


def test_a_deflated_file_cut_short() -> None:
    whole = written(dataset(chest(128)), DeflatedExplicitVRLittleEndian)
    for share in (0.2, 0.5, 0.9):
        assert refusal(whole[: int(share * len(whole))]).reason in ("unreadable_file", "no_pixel_data")


# Run lengths


def test_runs_are_decoded_no_further_than_the_picture() -> None:
    segment = b"\x81\x07" * (4 * MIB)
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    with at_most(MIB):
        assert rle.unpack(frame, pixels=1000, samples=1, width=1) == b"\x07" * 1000
    with at_most(60 * MIB):
        assert refusal(coded(frame, RLELossless)).reason == "too_large"


@pytest.mark.parametrize(
    "frame",
    [
        b"RL",
        bytes(64),
        struct.pack("<16I", 2**31, *[64] * 15) + bytes(100),
        struct.pack("<16I", 15, *[64] * 15) + bytes(100),
        struct.pack("<16I", 2, 64, 2**31, *[0] * 13) + b"\x81\x07" * 200,
        struct.pack("<16I", 2, 0, 0, *[0] * 13) + b"\x80" * 5000,
        struct.pack("<16I", 2, 200, 64, *[0] * 13) + b"\x81\x07" * 200,
    ],
)
def test_segments_that_are_none(frame: bytes) -> None:
    assert refusal(coded(frame, RLELossless)).reason == "unreadable_file"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3])
def test_run_lengths_as_pydicom_packs_them(dtype: type[np.generic], samples: int) -> None:
    shape = (40, 37) if samples == 1 else (40, 37, 3)
    pixels = (np.random.default_rng(0).integers(0, 4, shape) * 61).astype(dtype)
    image = dataset(pixels)
    image.compress(RLELossless, generate_instance_uid=False)
    frame = get_frame(image.PixelData, 0, number_of_frames=1)
    plain = rle.unpack(frame, pixels=40 * 37, samples=samples, width=pixels.itemsize)
    planes = np.frombuffer(plain, dtype).reshape(samples, 40, 37)
    np.testing.assert_array_equal(planes.transpose(1, 2, 0).reshape(shape), pixels)


# Codestreams


def jpeg(size: tuple[int, int], mode: str = "L", kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind)
    return stream.getvalue()


def test_what_a_codestream_declares() -> None:
    assert codestream(jpeg((123, 45))) == Codestream(45, 123, 1, 8)
    assert codestream(jpeg((123, 45), "RGB")) == Codestream(45, 123, 3, 8)
    assert codestream(jpeg((123, 45), "RGB", "JPEG2000")) == Codestream(45, 123, 3, 8)
    assert codestream(jpeg((123, 45))[:30]) is None
    assert codestream(b"RLE or other bytes") is None
    assert codestream(b"\xff\xd8" + b"\xff" * 5_000_000) is None


def test_what_a_jpeg_2000_codestream_declares_bare_and_boxed() -> None:
    numbers = (130, 50, 7, 5, 130, 50, 0, 0)
    bare = b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">8IH", *numbers, 2) + b"\x0b\1\1\x0f\1\1"
    assert codestream(bare) == Codestream(45, 123, 2, 16)
    assert codestream(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60) + bare) == Codestream(45, 123, 2, 16)
    assert codestream(b"\1\0\0\0" + bare) is None
    assert codestream(bare[:44]) is None


@pytest.mark.parametrize(
    ("frame", "syntax"),
    [
        (jpeg((32, 32)).replace(b"\x08\0\x20\0\x20", b"\x08\xea\x60\xea\x60"), JPEGBaseline8Bit),
        (jpeg((32, 32), "RGB"), JPEGBaseline8Bit),
        (jpeg((32, 32), "RGB", "JPEG2000"), JPEG2000Lossless),
        (jpeg((32, 32), "I;16", "JPEG2000"), JPEG2000Lossless),
        (jpeg((32, 32))[:20], JPEGBaseline8Bit),
        (b"neither", JPEG2000Lossless),
    ],
)
def test_a_codestream_of_another_form_is_refused_before_it_is_decoded(frame: bytes, syntax: UID) -> None:
    content = coded(frame, syntax, BitsAllocated=8, BitsStored=8)
    with at_most(4 * MIB + 4 * len(frame)):
        assert refusal(content).reason == "unreadable_file"


def test_fragments_larger_than_any_coder_makes() -> None:
    content = coded(jpeg((32, 32)) + bytes(6 * MIB), JPEGBaseline8Bit, BitsAllocated=8, BitsStored=8)
    assert refusal(content).reason == "too_large"
    image = dataset(chest())
    image.PixelData = (ITEM + bytes(4)) * 2**17 + SEQUENCE_END
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    assert refusal(written(image, JPEGBaseline8Bit)).reason == "too_large"


# Declared sizes


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": 16384, "Columns": 16384, "BitsAllocated": 64}, "too_large"),
        ({"NumberOfFrames": 2**31 - 1}, "several_frames"),
        ({"SamplesPerPixel": 65535}, "unreadable_file"),
        ({"BitsAllocated": 65535}, "unreadable_file"),
        ({"Rows": 16384, "Columns": 16384}, "unreadable_file"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_size_is_checked_before_memory_is_taken(elements: dict[str, int], reason: str, syntax: UID) -> None:
    frame = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x07" * 2
    content = coded(frame, syntax, **elements) if syntax == RLELossless else written(dataset(chest(), **elements))
    if elements.get("Rows") == 16384 and syntax == RLELossless:
        reason = "unreadable_file" if "BitsAllocated" not in elements else reason
    with at_most(2 * MIB):
        assert refusal(content).reason == reason


# Elements


def test_sequences_nested_deep() -> None:
    for depth, read in ((8, True), (30, True), (200, False), (100_000, False)):
        content = before_pixels((SEQUENCE + ITEM + OPEN) * depth + (ITEM_END + SEQUENCE_END) * depth)
        if read:
            np.testing.assert_array_equal(read_dicom(io.BytesIO(content)), chest())
        else:
            error = refusal(content)
            assert error.reason == "unreadable_file"
            assert "nested" in error.remedy


@pytest.mark.parametrize("end", [b"", ITEM_END, SEQUENCE_END, SEQUENCE_END * 2])
def test_a_sequence_that_never_ends(end: bytes) -> None:
    content = before_pixels(SEQUENCE + ITEM + OPEN + SEQUENCE + end)
    assert refusal(content).reason in ("unreadable_file", "no_pixel_data")


def test_items_without_number() -> None:
    content = before_pixels(SEQUENCE + (ITEM + bytes(4)) * 2**18 + SEQUENCE_END)
    assert "elements; export" in refusal(content).remedy


def test_a_value_as_long_as_the_file() -> None:
    image = dataset(chest(), WindowCenter=100, WindowWidth=50)
    image.add_new("VOILUTFunction", "UT", "LINEAR" * MIB)
    content = written(image)
    with at_most(2 * MIB):
        assert refusal(content).reason == "unreadable_file"


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 2])
def test_a_length_beyond_the_end_of_the_file(length: int) -> None:
    content = before_pixels(b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", length))
    assert refusal(content).reason == "unreadable_file"
    whole = written(dataset(chest()), ImplicitVRLittleEndian)
    place = whole.index(b"\xe0\x7f\x10\x00")
    error = refusal(whole[: place + 4] + struct.pack("<I", length) + whole[place + 8 : -100])
    assert "it should hold 2048 bytes" in error.remedy


def test_a_file_that_ends_anywhere() -> None:
    """Every prefix is told to be cut but those that end with an element, which have the elements of the whole."""
    whole = written(dataset(chest(), WindowCenter=100, WindowWidth=50))
    wanted = allowed.tags(allowed.RADIOGRAPH)
    all_elements = read_header(io.BytesIO(whole), wanted).elements
    place = whole.index(b"\xe0\x7f\x10\x00")
    uncut = 0
    for kept in range(132, place):
        with quiet():
            header = read_header(io.BytesIO(whole[:kept]), wanted)
        assert header.pixels is None
        uncut += not header.cut
        for key in header.elements.keys() if not header.cut else ():
            assert header.elements[key] == all_elements[key]
    file = dcmread(io.BytesIO(whole))
    assert uncut == len(file.file_meta) + len(file) - 1
