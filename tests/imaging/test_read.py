"""Files of each kind to pictures or refusals."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from privrad.imaging.read import Unreadable, read_radiograph
from privrad.imaging.unreadable import check_size
from tests.imaging.made import Writer, dataset


def refusal(path: Path) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_radiograph(path)
    assert "\n" not in str(caught.value)
    assert len(caught.value.remedy) > 20
    return caught.value


def png16(pixels: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG, written by hand: big-endian rows behind filter byte 0."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows, columns = pixels.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", columns, rows, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("compress", ["", RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("name", ["image.dcm", "image", "image.png"])
def test_dicom_is_told_by_content(compress: str, name: str, chest: np.ndarray, write: Writer) -> None:
    np.testing.assert_array_equal(read_radiograph(write(chest, BitsStored=12, compress=compress, name=name)), chest)


def test_signed_jpeg_2000(chest: np.ndarray, write: Writer) -> None:
    signed = chest.astype(np.int16) - 2048
    np.testing.assert_array_equal(read_radiograph(write(signed, BitsStored=13, compress=JPEG2000Lossless)), signed)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_syntaxes(syntax: UID, chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(tmp_path / "image", enforce_file_format=True)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "image"), chest)


def test_big_endian(chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest.astype(">u2"))
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    image.save_as(tmp_path / "image", enforce_file_format=True)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "image"), chest)


@pytest.mark.parametrize("implicit", [True, False])
def test_dataset_without_preamble(implicit: bool, chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    del image.file_meta
    image.save_as(tmp_path / "image", implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "image"), chest)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 2}, "several_frames"),
        ({"Rows": 2**15, "Columns": 2**14}, "too_large"),
        ({"Rows": 91}, "unreadable_file"),
        ({"PhotometricInterpretation": ""}, "unreadable_file"),
        ({"SamplesPerPixel": 3}, "unreadable_file"),
        ({"BitsAllocated": 12}, "unreadable_file"),
        ({"WindowCenter": 10, "WindowWidth": 0}, "invalid_window"),
    ],
)
def test_headers_that_give_no_picture(elements: dict[str, Any], reason: str, chest: np.ndarray, write: Writer) -> None:
    assert refusal(write(chest, **elements)).reason == reason


def test_no_pixels(chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    del image.PixelData
    image.save_as(tmp_path / "image", enforce_file_format=True)
    assert refusal(tmp_path / "image").reason == "no_pixel_data"


def test_compression_without_a_decoder(chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    image.file_meta.TransferSyntaxUID = MPEG2MPML
    image.PixelData = encapsulate([b"\0\0\1\xb3"])
    image["PixelData"].is_undefined_length = True
    image.save_as(tmp_path / "image", enforce_file_format=True)
    error = refusal(tmp_path / "image")
    assert error.reason == "unsupported_compression"
    assert "MPEG2" in error.remedy


@pytest.mark.parametrize("compress", ["", RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_file_cut_short(compress: str, share: float, chest: np.ndarray, write: Writer) -> None:
    path = write(chest, compress=compress)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert refusal(path).reason in ("unreadable_file", "no_pixel_data")


@pytest.mark.parametrize("compress", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_pixels_cut_short_in_a_whole_file(compress: str, share: float, chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    image.compress(compress, generate_instance_uid=False)
    frame = get_frame(image.PixelData, 0, number_of_frames=1)
    image.PixelData = encapsulate([frame[: int(share * len(frame)) // 2 * 2]])
    image.save_as(tmp_path / "image", enforce_file_format=True)
    assert "cut short or damaged" in refusal(tmp_path / "image").remedy


def test_a_codestream_of_another_size_is_refused_before_decoding(chest: np.ndarray, tmp_path: Path) -> None:
    image = dataset(chest)
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    image.Rows = 45
    image.save_as(tmp_path / "image", enforce_file_format=True)
    assert "compressed as 90 rows and 70 columns" in refusal(tmp_path / "image").remedy


def test_random_damage_never_escapes(chest: np.ndarray, write: Writer) -> None:
    generator = np.random.default_rng(11)
    for compress in ("", RLELossless, JPEG2000Lossless):
        path = write(chest[:40, :40], compress=compress, WindowCenter=2000, WindowWidth=900)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            places = generator.integers(128, len(whole) if generator.random() < 0.5 else 700, 3)
            damaged[places] = generator.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            with contextlib.suppress(Unreadable):
                assert read_radiograph(path).ndim == 2


def test_colour_dicom(chest: np.ndarray, write: Writer) -> None:
    grey = np.repeat((chest >> 4).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_radiograph(write(grey)), grey[..., 0])
    colour = grey.copy()
    colour[:40, :40, 0] = 255
    assert refusal(write(colour)).reason == "colour_image"


def test_pictures_of_eight_bits(chest: np.ndarray, tmp_path: Path) -> None:
    pixels = (chest >> 4).astype(np.uint8)
    grey = Image.fromarray(pixels)
    alpha = Image.fromarray(np.where(np.arange(70) < 35, 255, 51).astype(np.uint8)[None].repeat(90, 0))
    over_black = pixels * np.where(np.arange(70) < 35, 1, 0.2)
    clear = Image.merge("LA", (grey, alpha))
    for name, picture, expected in [
        ("grey", grey, pixels),
        ("colour", grey.convert("RGB"), pixels),
        ("palette", grey.convert("P"), pixels),
        ("opaque", grey.convert("RGBA"), pixels),
        ("clear", clear, over_black),
        ("clear colour", clear.convert("RGBA"), over_black),
    ]:
        picture.save(tmp_path / name, "PNG")
        np.testing.assert_allclose(read_radiograph(tmp_path / name), expected, atol=1e-3, err_msg=name)


def test_png_named_jpg_and_jpeg_named_png(chest: np.ndarray, tmp_path: Path) -> None:
    grey = Image.fromarray((chest >> 4).astype(np.uint8))
    grey.save(tmp_path / "a.jpg", "PNG")
    grey.save(tmp_path / "b.dcm", "JPEG", quality=95)
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.jpg"), read_radiograph(tmp_path / "b.dcm"), atol=12)


def test_orientation_tag_is_ignored(chest: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((chest >> 4).astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_radiograph(tmp_path / "a.jpg").shape == chest.shape


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits(channels: int, chest: np.ndarray, tmp_path: Path) -> None:
    grey = chest[..., None] * np.uint16(16)
    opaque = np.full_like(grey, 65535)
    layers = {1: [grey], 2: [grey, opaque // 5], 3: [grey] * 3, 4: [grey, grey, grey, opaque // 5]}[channels]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    (tmp_path / "deep").write_bytes(png16(np.concatenate(layers, axis=2), colour_type))
    expected = grey[..., 0] * (0.2 if channels in (2, 4) else 1)
    np.testing.assert_allclose(read_radiograph(tmp_path / "deep"), expected, rtol=1e-5)


def test_what_counts_as_grey(chest: np.ndarray, tmp_path: Path) -> None:
    pixels = (chest >> 4).astype(np.float32)
    tinted = np.stack([0.7 * pixels, 0.9 * pixels, pixels], axis=2).astype(np.uint8)
    marked = np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2)
    marked[:5, :8] = (255, 0, 0)
    painted = marked.copy()
    painted[:30, :30] = (255, 0, 0)
    for name, picture in [("tinted", tinted), ("marked", marked)]:
        Image.fromarray(picture).save(tmp_path / name, "PNG")
        luma = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
        np.testing.assert_allclose(read_radiograph(tmp_path / name), luma, atol=1e-3)
    Image.fromarray(painted).save(tmp_path / "painted", "PNG")
    assert refusal(tmp_path / "painted").reason == "colour_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_picture_cut_short(kind: str, chest: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    Image.fromarray((chest >> 4).astype(np.uint8)).save(path, kind)
    whole = path.read_bytes()
    for share in (0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        assert refusal(path).reason == "unreadable_file"


def test_animation(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 100, 200)]
    frames[0].save(tmp_path / "moving", "PNG", save_all=True, append_images=frames[1:])
    assert refusal(tmp_path / "moving").reason == "several_frames"


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a picture " * 40)
    (tmp_path / "empty").write_bytes(b"")
    reasons = {name: refusal(tmp_path / name).reason for name in ("text", "empty", "absent", "text/below", ".")}
    assert reasons == {
        "text": "unknown_format",
        "empty": "unknown_format",
        "absent": "missing_file",
        "text/below": "missing_file",
        ".": "not_a_file",
    }


def test_bound_on_pixels(tmp_path: Path) -> None:
    check_size(2**14, 2**14)
    with pytest.raises(Unreadable, match="too_large"):
        check_size(2**14, 2**14 + 1)
    header = png16(np.zeros((1, 1), np.uint16), 0)
    huge = header[:16] + struct.pack(">II", 60_000, 60_000) + header[24:29]
    huge += struct.pack(">I", zlib.crc32(huge[12:29])) + header[33:]
    (tmp_path / "huge").write_bytes(huge)
    assert refusal(tmp_path / "huge").reason == "too_large"


def test_bytes_that_look_like_jpeg_2000_in_another_coding(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    pixels[1, 5:9] = (0xFF, 0x4F, 0xFF, 0x51)
    image = dataset(pixels)
    image.compress(RLELossless, generate_instance_uid=False)
    image.save_as(tmp_path / "image", enforce_file_format=True)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "image"), pixels)


def test_compressed_pixels_are_never_shown_as_uncompressed(write: Writer) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64)).astype(np.uint8)
    path = write(noise, compress=RLELossless)
    path.write_bytes(path.read_bytes().replace(RLELossless.encode(), ExplicitVRLittleEndian.encode()))
    assert "its pixels are compressed, but the header says Explicit VR" in refusal(path).remedy
