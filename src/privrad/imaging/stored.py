"""The stored pixels of the one picture in a DICOM file: checked, then decoded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder, get_decoder

from privrad.imaging import rle
from privrad.imaging.codestream import codestream, frame
from privrad.imaging.elements import known
from privrad.imaging.unreadable import Unreadable, check_size
from privrad.imaging.walk import UNDEFINED, Header

_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_PLUGINS = {uid.JPEGBaseline8Bit: "pillow", **dict.fromkeys(_JPEG_2000, "pylibjpeg")}
_BY_GDCM = (
    *(uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1),
    *(uid.JPEGLSLossless, uid.JPEGLSNearLossless),
)
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_STORED = (*GREY, PALETTE)
_HALF_COLOUR = "YBR_FULL_422"
_NEEDED = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation")
_COPIED = (*_NEEDED, "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData")
_SAMPLES, _BITS, _LARGEST = (1, 3), (1, 8, 16, 32, 64), 2**30
_CODED_MOST = (4, 2**20)  # bytes for each byte of the picture, and in any case: no coder makes as many
_MOST_TOLD = 10**6  # a longer number may be somebody's
_PIXEL_DATA = 0x7FE00010


def stored_pixels(header: Header) -> np.ndarray:
    """The stored pixels [rows, columns] of the one picture in a file, or RGB [rows, columns, 3].

    Those of a grey picture are as stored, with garbage above the stored bits allowed. Raises Unreadable for what gives
    no picture, before memory is taken for it.
    """
    file = header.elements
    _check(header)
    pixels = _decode(header, transfer_syntax(file))
    kind = str(file.PhotometricInterpretation)
    expected = (file.Rows, file.Columns, *(() if kind in _STORED else (3,)))
    if pixels.shape != expected:
        remedy = f"its pixels decode to {pixels.shape}, not {expected}; export the image again"
        raise Unreadable("unreadable_file", remedy)
    return pixels


def _check(header: Header) -> None:
    """Refuse, before any decoding, a file that cannot give one picture."""
    file = header.elements
    if header.cut:
        raise Unreadable("unreadable_file", "its header is cut short or damaged; export or copy the file again")
    if header.pixels is None:
        remedy = f"without a picture ({known(file)}), or cut off before it; export it again or take it out of the table"
        raise Unreadable("no_pixel_data", remedy)
    lacking = [keyword for keyword in _NEEDED if file.get(keyword) in (None, "")]
    if lacking:
        raise Unreadable("unreadable_file", f"the header lacks {', '.join(lacking)}; export the image again")
    check_size(int(file.Rows), int(file.Columns))
    frames = int(file.get("NumberOfFrames") or 1)
    if frames != 1:
        count = frames if 0 <= frames < _MOST_TOLD else "an impossible number of"
        raise Unreadable("several_frames", f"{count} frames; export the one to use as an image of its own")
    samples, bits = int(file.SamplesPerPixel), int(file.BitsAllocated)
    if samples not in _SAMPLES or bits not in _BITS:
        remedy = f"{samples} samples a pixel of {bits} bits; 1 or 3 of 8, 16 or 32 are read; export the image again"
        raise Unreadable("unreadable_file", remedy)
    if _expected(file) > _LARGEST:
        remedy = f"{_expected(file)} bytes of pixels exceed {_LARGEST}; export it at a lower resolution"
        raise Unreadable("too_large", remedy)


def _expected(file: Dataset) -> int:
    """The bytes of the picture when it is not compressed."""
    samples = 2 if file.PhotometricInterpretation == _HALF_COLOUR else int(file.SamplesPerPixel)
    return -(-int(file.Rows) * int(file.Columns) * samples * int(file.BitsAllocated) // 8)


def transfer_syntax(file: Dataset) -> uid.UID:
    """The transfer syntax, or for a file that does not name it, the one that its header was read with.

    Raises Unreadable for one that the standard does not know.
    """
    named = uid.UID(str(file.file_meta.get("TransferSyntaxUID") or ""))
    if named and not named.is_transfer_syntax:
        remedy = "encoded in a way that the standard does not know; export it uncompressed, as RLE or as JPEG 2000"
        raise Unreadable("unsupported_compression", remedy)
    if named:
        return named
    implicit, little = file.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _decode(header: Header, syntax: uid.UID) -> np.ndarray:
    """The stored pixels [rows, columns], or RGB [rows, columns, 3], in the byte order of this machine."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        remedy = f"compressed as {syntax.name}; export it uncompressed, as RLE or as JPEG 2000"
        raise Unreadable("unsupported_compression", remedy) from None
    file = header.elements
    if syntax == uid.RLELossless:
        _unpack(header)
        syntax, decoder = uid.ExplicitVRLittleEndian, get_decoder(uid.ExplicitVRLittleEndian)
    elif syntax.is_encapsulated:
        coded = _frame(header)
        _check_codestream(coded, file)
        file[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OB", encapsulate([coded], has_bot=False))
        file[_PIXEL_DATA].is_undefined_length = True
    else:
        _read_plain(header, syntax)
    try:
        return _decode_by_gdcm(file, syntax) if syntax in _BY_GDCM else _decode_by_pydicom(file, syntax, decoder)
    except RuntimeError:
        remedy = f"its pixels, {syntax.name}, are cut short or damaged; export or copy the file again"
        raise Unreadable("unreadable_file", remedy) from None


def _frame(header: Header) -> bytes:
    factor, free = _CODED_MOST
    return frame(header, most=factor * _expected(header.elements) + free)


def _unpack(header: Header) -> None:
    """Give a run-length coded picture its plain pixels."""
    file = header.elements
    size, samples, bits = int(file.Rows) * int(file.Columns), int(file.SamplesPerPixel), int(file.BitsAllocated)
    if bits % 8:
        raise Unreadable("unreadable_file", f"run-length coded pixels of {bits} bits; export the image again")
    plain = rle.unpack(_frame(header), pixels=size, samples=samples, width=bits // 8)
    file[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OW", plain)
    if samples > 1:
        file.PlanarConfiguration = 1


def _read_plain(header: Header, syntax: uid.UID) -> None:
    """Read pixels that are not compressed, as many as the picture has."""
    pixels, file = header.pixels, header.elements
    if pixels is None or pixels.length == UNDEFINED:
        remedy = f"its pixels are compressed, but the header says {syntax.name}; export or copy the file again"
        raise Unreadable("unreadable_file", remedy)
    expected = _expected(file)
    header.stream.seek(pixels.start)
    value = header.stream.read(min(pixels.length, expected + expected % 2))
    if len(value) < expected:
        remedy = f"it should hold {expected} bytes of pixels, and holds {len(value)}; copy or export the file again"
        raise Unreadable("unreadable_file", remedy)
    _, little = file.original_encoding
    file[pixels.tag] = pixels._replace(length=len(value)).raw(value, little=bool(little))


def _decode_by_pydicom(file: Dataset, syntax: uid.UID, decoder: Decoder) -> np.ndarray:
    file.file_meta.TransferSyntaxUID = syntax
    stored = file.PhotometricInterpretation in _STORED
    options: dict[str, Any] = {"raw": stored, "decoding_plugin": _PLUGINS.get(syntax, "")}
    if stored:  # the tables of presentation mask the unused bits in the same pass
        options |= {"correct_unused_bits": False, "view_only": not syntax.is_encapsulated}
    pixels: np.ndarray = decoder.as_array(file, **options)[0]
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_by_gdcm(file: Dataset, syntax: uid.UID) -> np.ndarray:
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


def _check_codestream(coded: bytes, file: Dataset) -> None:
    """Refuse a compressed picture that is not what the header says, before memory is taken for it."""
    found = codestream(coded)
    if found is None:
        remedy = "its compressed pixels are cut short or damaged; export or copy the file again"
        raise Unreadable("unreadable_file", remedy)
    said = (int(file.Rows), int(file.Columns), int(file.SamplesPerPixel))
    if (found.rows, found.columns, found.samples) != said or found.bits > int(file.BitsAllocated):
        remedy = (
            f"compressed as {found.rows} rows and {found.columns} columns of {found.samples} x {found.bits} bits, but "
            f"the header says {said[0]} and {said[1]} of {said[2]} x {file.BitsAllocated}; export it again"
        )
        raise Unreadable("unreadable_file", remedy)
