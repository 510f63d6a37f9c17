"""DICOM files: header checks, decoding of the pixels, and their presentation."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import apply_color_lut

from privrad.imaging.picture import grey
from privrad.imaging.presentation import present
from privrad.imaging.unreadable import Unreadable, check_size

_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_PLUGINS = {uid.JPEGBaseline8Bit: "pillow", uid.RLELossless: "pydicom", **dict.fromkeys(_JPEG_2000, "pylibjpeg")}
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\0\0\0\x0cjP  "
_BY_GDCM = (
    *(uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1),
    *(uid.JPEGLSLossless, uid.JPEGLSNearLossless),
)
GREY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
_STORED = (*GREY, _PALETTE)
_PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NEEDED = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation")
_COPIED = (*_NEEDED, "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData")


def read_dicom(stream: BinaryIO) -> np.ndarray:
    """Presentation values of the one picture in a DICOM file, float32 [rows, columns], bright where the body is dense.

    Raises Unreadable for a file without pixels, with several frames, in colour, too large, or compressed in a way that
    no decoder here reads; a broken file raises whatever pydicom raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = dcmread(stream)
        pixels = stored_pixels(file)
        kind = str(file.PhotometricInterpretation)
        if kind in GREY:
            return present(pixels.view(f"u{pixels.itemsize}") if pixels.dtype.kind == "i" else pixels, file)
        if kind == _PALETTE:
            pixels = apply_color_lut(pixels, file)
        return grey(pixels)


def read_bare_dicom(content: bytes) -> np.ndarray:
    """As `read_dicom`, of a file without the preamble of 128 bytes."""
    return read_dicom(io.BytesIO(bytes(128) + b"DICM" + content))


def stored_pixels(file: FileDataset) -> np.ndarray:
    """The stored pixels [rows, columns] of the one picture in a file, or RGB [rows, columns, 3].

    Those of a grey picture are as stored, with garbage above the stored bits allowed. Raises as `read_dicom` does.
    """
    _check(file)
    pixels = _decode(file, transfer_syntax(file))
    kind = str(file.PhotometricInterpretation)
    expected = (file.Rows, file.Columns, *(() if kind in _STORED else (3,)))
    if pixels.shape != expected:
        remedy = f"{kind} pixels decode to {pixels.shape}, not {expected}; export the image again"
        raise Unreadable("unreadable_file", remedy)
    return pixels


def _check(file: FileDataset) -> None:
    """Refuse, before any decoding, a file that cannot give one picture."""
    if not any(keyword in file for keyword in _PIXEL_DATA):
        if "Rows" in file and transfer_syntax(file).is_encapsulated:
            raise Unreadable("unreadable_file", "its compressed pixels are cut short; export or copy the file again")
        kind = file.get("Modality") or "modality not given"
        remedy = f"a DICOM file without a picture ({kind}), or cut short; export it again or remove it from the table"
        raise Unreadable("no_pixel_data", remedy)
    lacking = [keyword for keyword in _NEEDED if not file.get(keyword)]
    if lacking:
        raise Unreadable("unreadable_file", f"the header lacks {', '.join(lacking)}; export the image again")
    check_size(int(file.Rows), int(file.Columns))
    frames = int(file.get("NumberOfFrames") or 1)
    if frames != 1:
        raise Unreadable("several_frames", f"{frames} frames; export the one to use as an image of its own")


def transfer_syntax(file: FileDataset) -> uid.UID:
    """The transfer syntax, or for a file that does not name it, the one that its header was read with."""
    named = file.file_meta.get("TransferSyntaxUID")
    if named:
        return uid.UID(named)
    implicit, little = file.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _decode(file: FileDataset, syntax: uid.UID) -> np.ndarray:
    """The stored pixels [rows, columns], or RGB [rows, columns, 3], in the byte order of this machine."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        remedy = f"compressed as {syntax.name}; export it uncompressed, as RLE or as JPEG 2000"
        raise Unreadable("unsupported_compression", remedy) from None
    if syntax.is_encapsulated:
        _check_codestream(file)
    elif "PixelData" in file and file["PixelData"].is_undefined_length:
        remedy = f"its pixels are compressed, but the header says {syntax.name}; export or copy the file again"
        raise Unreadable("unreadable_file", remedy)
    try:
        return _decode_by_gdcm(file, syntax) if syntax in _BY_GDCM else _decode_by_pydicom(file, syntax, decoder)
    except RuntimeError:
        remedy = f"its pixels, {syntax.name}, are cut short or damaged; export or copy the file again"
        raise Unreadable("unreadable_file", remedy) from None


def _decode_by_pydicom(file: FileDataset, syntax: uid.UID, decoder: Decoder) -> np.ndarray:
    file.file_meta.TransferSyntaxUID = syntax
    stored = file.PhotometricInterpretation in _STORED
    options: dict[str, Any] = {"raw": stored, "decoding_plugin": _PLUGINS.get(syntax, "")}
    if stored:  # the tables of presentation mask the unused bits in the same pass
        options |= {"correct_unused_bits": False, "view_only": not syntax.is_encapsulated}
    pixels: np.ndarray = decoder.as_array(file, **options)[0]
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_by_gdcm(file: FileDataset, syntax: uid.UID) -> np.ndarray:
    """Pixels by SimpleITK's GDCM, from a copy that holds the picture alone, so that no rescale is applied."""
    import SimpleITK

    itk: Any = SimpleITK
    copy = Dataset()
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = syntax
    copy.SOPClassUID = uid.SecondaryCaptureImageStorage
    copy.SOPInstanceUID = "1.2.3"
    for keyword in _COPIED:
        if keyword in file:
            copy[keyword] = file[keyword]
    with tempfile.TemporaryDirectory(prefix="privrad-") as folder:
        path = Path(folder) / "picture.dcm"
        copy.save_as(path, enforce_file_format=True)
        image = itk.ReadImage(str(path), imageIO="GDCMImageIO")
    pixels: np.ndarray = itk.GetArrayFromImage(image)[0]
    return pixels if pixels.ndim == 3 else pixels.astype(f"i{file.BitsAllocated // 8}", copy=False)


def _check_codestream(file: FileDataset) -> None:
    """Refuse a compressed picture whose own size is not the header's, before memory is taken for it."""
    size = codestream_size(get_frame(file.PixelData, 0, number_of_frames=1))
    if size not in (None, (file.Rows, file.Columns)):
        remedy = (
            f"compressed as {size}, but the header says {file.Rows} rows and {file.Columns} columns; export it again"
        )
        raise Unreadable("unreadable_file", remedy)


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream declares, or None for another coding."""
    start = data.find(_JPEG_2000_START, 0, 4096) if data.startswith(_JP2_BOX) else 0
    if start >= 0 and data.startswith(_JPEG_2000_START, start):
        right, bottom, left, top = (int.from_bytes(data[at : at + 4], "big") for at in range(start + 8, start + 24, 4))
        return bottom - top, right - left
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
