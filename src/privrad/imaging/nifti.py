"""CT scans in NIfTI files, version 1 or 2, gzipped or not, of either byte order."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError

from privrad.imaging.opening import open_regular
from privrad.imaging.scan import Scan, is_orthogonal
from privrad.imaging.unreadable import Unreadable

GZIP = b"\x1f\x8b"
LONGEST_HEADER = 544
APART = 0.5
"""The least cosine between an axis of the sform and the same of the qform."""
_SIZES: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
_SINGLE, _PAIR = (b"n+1\0", b"n+2\0"), (b"ni1\0", b"ni2\0")
_DENSEST = 1032  # bytes that deflate makes of one at most
_FARTHEST = 2**26  # bytes before the voxels; extensions in use take a few thousand
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie in the file, and how to turn them into Hounsfield units."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float


def is_nifti(head: bytes) -> bool:
    """Whether a file that begins with these 348 bytes or more, decompressed, is NIfTI, or Analyze before it."""
    return any(int.from_bytes(head[:4], order) in _SIZES for order in ("little", "big")) and len(head) >= 348


def read_nifti(path: Path) -> Scan:
    """Read one CT scan from a NIfTI file, told by its content and not by its name.

    The planes are those of the third stored axis, with the file's slope and intercept applied; they come one by one, so
    that no more than one is in memory. The sform gives the axes where its code is above 0, else the qform, as the
    standard says, in the unit of length that the header names; where both have codes and an axis of theirs stands
    more than 60 degrees apart, nobody can tell which is right. Raises Unreadable for that and for a file that holds
    several volumes, colours, vectors or complex numbers, only a header, no orientation or sheared axes, or is damaged.
    """
    with _opened(path) as (stream, room):
        header = _header(stream.read(LONGEST_HEADER))
    columns, rows, planes = _dimensions(header)
    slope, intercept = _scale(header)
    layout = _Layout((planes, rows, columns), _dtype(header), _offset(header), slope, intercept)
    if layout.offset + math.prod(layout.shape) * layout.dtype.itemsize > room:
        remedy = f"it is too short for {planes} planes of {rows} x {columns} voxels; copy the file again"
        raise Unreadable("unreadable_file", remedy)
    return Scan(layout.shape, _affine(header), lambda: _planes(path, layout))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file as a stream of what it holds, decompressed where it is gzipped, and how many bytes that is at most."""
    with open_regular(path) as stream:
        compressed = stream.read(2) == GZIP
        stream.seek(0)
        room = os.fstat(stream.fileno()).st_size
        if not compressed:
            yield stream, room
            return
        with gzip.GzipFile(fileobj=stream) as inflated:
            yield cast(BinaryIO, inflated), _DENSEST * room


def _header(head: bytes) -> Any:
    if not is_nifti(head):
        raise Unreadable("unknown_format", "its gzipped content is not NIfTI; give a NIfTI file or a DICOM series")
    kind = next(_SIZES[size] for size in _SIZES if size in (int.from_bytes(head[:4], o) for o in ("little", "big")))
    magic = head[4:8] if kind is Nifti2Header else head[344:348]
    if magic in _PAIR:
        raise Unreadable(
            "separate_header", "a header whose voxels are in a file of their own; convert both to one .nii"
        )
    if magic not in _SINGLE:
        raise Unreadable("no_orientation", "an Analyze header, which gives no orientation; convert the scan from DICOM")
    return kind(head[: kind.sizeof_hdr], check=False)


def _dimensions(header: Any) -> tuple[int, int, int]:
    count, *lengths = (int(length) for length in header["dim"])
    if not 1 <= count <= 7 or min(lengths[:count]) < 1:
        raise Unreadable("unreadable_file", f"its dimensions are {[count, *lengths]}; export the scan again")
    if count < 3:
        raise Unreadable("not_a_volume", f"an image of {count} dimensions; give a scan of three")
    if max(lengths[3:count], default=1) > 1:
        held = " x ".join(str(length) for length in lengths[:count])
        raise Unreadable("several_volumes", f"{held} values: several in time or kind; export the one to use as a file")
    return lengths[0], lengths[1], lengths[2]


def _dtype(header: Any) -> np.dtype:
    try:
        dtype: np.dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise Unreadable("unreadable_file", f"its data type is {header['datatype']}; export the scan again") from None
    if dtype.fields is not None:
        raise Unreadable("colour_image", "its voxels are colours; export the scan itself, in Hounsfield units")
    if dtype.kind not in "iuf" or not dtype.itemsize:
        raise Unreadable("unusable_values", f"its voxels are {dtype}; export the scan as real numbers")
    bits = int(header["bitpix"])
    if bits not in (0, 8 * dtype.itemsize):
        raise Unreadable("unreadable_file", f"its voxels are {dtype}, and have {bits} bits; export the scan again")
    return dtype


def _scale(header: Any) -> tuple[float, float]:
    """The slope and intercept; 1 and 0 where the slope is 0, which says none, or NaN, which some write for none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise Unreadable("unreadable_file", f"its rescale is {slope:g} x + {intercept:g}; export the scan again")
    return slope, intercept


def _offset(header: Any) -> int:
    """Where the voxels begin, behind the header and its extensions, which nobody looks at."""
    start, offset = header.sizeof_hdr + 4, float(header["vox_offset"])
    if offset == 0:
        return int(start)
    if not start <= offset <= _FARTHEST:
        remedy = f"its voxels begin at byte {offset:.0f}; {start} to {_FARTHEST} are usual: export it again"
        raise Unreadable("unreadable_file", remedy)
    return int(offset)


def _affine(header: Any) -> np.ndarray:
    """(column, row, plane, 1) to millimetres L, P, S."""
    unit = _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        affine: np.ndarray = _TO_LPS @ np.diag([unit, unit, unit, 1.0]) @ _stored_affine(header)
        usable = is_orthogonal(affine)
    if not usable:
        axes = np.array2string(affine[:3, :3], precision=4, separator=", ").replace("\n", "")
        raise Unreadable("unusable_axes", f"its axes {axes} are sheared or flat; convert the scan again from DICOM")
    if header["sform_code"] > 0 and header["qform_code"] > 0:
        _check_agree(header)
    return affine


def _check_agree(header: Any) -> None:
    """Refuse a qform whose axes run elsewhere than those of the sform: one mirrors or turns the patient."""
    sform = np.asarray(header.get_sform(), dtype=np.float64)[:3, :3]
    try:
        qform = _qform(header)[:3, :3]
    except Unreadable:
        return
    with np.errstate(all="ignore"):
        cosines = (sform * qform).sum(axis=0) / np.linalg.norm(sform, axis=0) / np.linalg.norm(qform, axis=0)
    if (cosines < APART).any():
        told = " and its qform ".join("".join(map(str, aff2axcodes(np.pad(axes, (0, 1))))) for axes in (sform, qform))
        remedy = f"its sform says {told}, so that nobody can tell left from right; convert it again from DICOM"
        raise Unreadable("no_orientation", remedy)


def _stored_affine(header: Any) -> np.ndarray:
    if header["sform_code"] > 0:
        return np.asarray(header.get_sform(), dtype=np.float64)
    if header["qform_code"] <= 0:
        remedy = "neither its sform nor its qform has a code, so that nobody can tell left from right; convert it again"
        raise Unreadable("no_orientation", remedy)
    return _qform(header)


def _qform(header: Any) -> np.ndarray:
    header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise Unreadable(
            "unusable_axes", f"its qform is not valid ({error}); convert the scan again from DICOM"
        ) from None


def _planes(path: Path, layout: _Layout) -> Iterator[np.ndarray]:
    """Each plane in turn; the byte after the last is asked for too, so that a gzip checksum is compared."""
    planes, rows, columns = layout.shape
    wanted = rows * columns * layout.dtype.itemsize
    with _opened(path) as (stream, _):
        stream.seek(layout.offset)
        for number in range(planes):
            content = stream.read(wanted)
            if len(content) < wanted:
                raise Unreadable(
                    "unreadable_file", f"it ends within plane {number + 1} of {planes}; copy the file again"
                )
            plane = np.frombuffer(content, layout.dtype).reshape(rows, columns)
            plane = plane.astype(layout.dtype.newbyteorder("="), copy=False)
            if (layout.slope, layout.intercept) != (1.0, 0.0):
                with np.errstate(over="ignore", invalid="ignore"):
                    plane = plane * np.float64(layout.slope) + layout.intercept
            yield plane
        stream.read(1)
