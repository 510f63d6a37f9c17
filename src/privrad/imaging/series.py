"""A CT volume from a folder of DICOM slices."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from privrad.imaging.choice import choose
from privrad.imaging.geometry import PARALLEL, ROUNDED, Grid, lay, local
from privrad.imaging.hounsfield import AIR
from privrad.imaging.scan import Scan
from privrad.imaging.slices import Slice, read_header, read_pixels
from privrad.imaging.unreadable import Unreadable

SAME = 0.01
"""Millimetres along the normal within which two slices lie at one place."""


def read_series(path: Path, *, within: Path | None = None, trusted: bool = False) -> Scan:
    """The one CT volume in a folder of DICOM files (not below it), or the one that the named file is a slice of.

    Localizers, projections, captured screens, other modalities and files that are not DICOM are set aside, and what is
    derived where originals are beside it. Slices are sorted by position along their normal. Hounsfield units are those
    of each slice's own rescale; padding is air, -1024. Of slices at one place with identical pixels one is kept. The
    planes are int16 or float32, those of the files as they are where the stack is even and upright; otherwise float32,
    resampled as `geometry.lay` says. With `within`, a file that a link leads to outside that folder is refused. Slices
    that were captured or scanned, or that show annotation, are refused unless `trusted`. Headers are read now, pixels
    when the planes are, a few at a time. Raises Unreadable where no volume, or more than one, can be told; a missing
    folder raises FileNotFoundError.
    """
    named = None if path.is_dir() else path
    slices = choose([read_header(file, trusted=trusted) for file in _files(path, within)], named=named)
    _check_alike(slices)
    slices = _in_order(slices)
    _check_acquisitions(slices)
    if len(slices) < 2:
        raise Unreadable("too_few_slices", "one slice is no volume; name the folder of the whole series")
    first = slices[0]
    grid = lay(
        np.array([one.position for one in slices]),
        orientation=np.array(first.orientation),
        spacing=first.spacing,
        size=(first.rows, first.columns),
    )
    return Scan(grid.shape, grid.affine, lambda: _planes(slices, grid))


def _files(path: Path, within: Path | None) -> list[Path]:
    """The files of a folder, or of that which a file lies in, but for hidden ones."""
    if not path.is_dir():
        path.open("rb").close()
    folder = path if path.is_dir() else path.parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and (file == path or file.name[0] != "."))
    if not files:
        below = sum(entry.is_dir() for entry in folder.iterdir())
        remedy = f"it has no files, and {below} folder{'s' * (below != 1)}; name the folder of the slices itself"
        raise Unreadable("no_ct_slices", remedy)
    if within is not None:
        _check_links(files, within)
    return files


def _check_links(files: Sequence[Path], within: Path) -> None:
    for file in files:
        if file.is_symlink() and not file.resolve().is_relative_to(within):
            raise Unreadable(
                "outside_root", f"{file.name} is a link that leads outside the cohort's root; copy it there"
            )


def _check_alike(slices: Sequence[Slice]) -> None:
    """Refuse slices that are not parallel or whose pixels differ in size."""
    first = slices[0]
    orientations = np.array([one.orientation for one in slices])
    apart = float(np.abs(orientations - orientations[0]).max())
    if apart > PARALLEL:
        remedy = (
            f"{len(slices)} slices are not parallel: their cosines differ by up to {apart:.3g}; export them parallel"
        )
        raise Unreadable("not_parallel", remedy)
    spacings = np.array([one.spacing for one in slices])
    if not np.allclose(spacings, first.spacing, rtol=1e-3, atol=0):
        least, most = spacings.min(axis=0).tolist(), spacings.max(axis=0).tolist()
        remedy = f"the PixelSpacing of {len(slices)} slices runs from {least} to {most} mm; export them with one"
        raise Unreadable("differing_slices", remedy)


def _in_order(slices: Sequence[Slice]) -> list[Slice]:
    """The slices sorted along their normal, each place once."""
    along = local(np.array([one.position for one in slices]), np.array(slices[0].orientation))
    order = np.argsort(along[:, 2], kind="stable").tolist()
    kept, last = [slices[order[0]]], order[0]
    for index in order[1:]:
        if along[index, 2] - along[last, 2] > SAME:
            kept.append(slices[index])
            last = index
        elif np.abs(along[index] - along[last]).max() > SAME or not _same_pixels(kept[-1], slices[index]):
            _refuse_doubled(along[:, 2])
    return kept


def _check_acquisitions(slices: Sequence[Slice]) -> None:
    """Refuse acquisitions that lie one between the other, such as two phases of contrast at shifted places."""
    turns = [number for number, _ in itertools.groupby(one.acquisition for one in slices if one.acquisition)]
    if len(turns) > len(set(turns)):
        met = f"{len(slices)} slices of {len(set(turns))} acquisitions lie one between the other"
        remedy = f"{met} (phases or times in one series); export each as a series of its own"
        raise Unreadable("doubled_slices", remedy)


def _same_pixels(one: Slice, other: Slice) -> bool:
    return np.array_equal(_read(one), _read(other))


def _refuse_doubled(along: np.ndarray) -> None:
    most = max(Counter(np.rint(along / SAME).tolist()).values())
    remedy = (
        f"up to {max(most, 2)} slices that differ lie at one place (phases, times or reconstructions in one series)"
    )
    raise Unreadable("doubled_slices", f"{len(along)} slices, of which {remedy}; export each as a series of its own")


def _read(one: Slice) -> np.ndarray:
    try:
        return read_pixels(one)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{one.path.name}: {error.remedy}") from None
    except MemoryError:
        raise Unreadable("too_large", f"{one.path.name}: it does not fit into memory") from None
    except Exception as error:
        remedy = f"{one.path.name}: its pixels are cut short or damaged; copy or export the file again"
        raise Unreadable("unreadable_file", remedy) from error


def _planes(slices: Sequence[Slice], grid: Grid) -> Iterator[np.ndarray]:
    """The planes of the grid, each slice read once; at most three planes are held."""
    if grid.shifts is None and len(slices) == grid.shape[0]:
        whole = np.arange(len(slices))
        if np.array_equal(grid.places, whole):
            yield from map(_read, slices)
            return
    index, below, above = 0, _upright(slices, grid, 0), None
    for plane in range(grid.shape[0]):
        while index + 1 < len(slices) and grid.places[index + 1] <= plane:
            index += 1
            below, above = _upright(slices, grid, index) if above is None else above, None
        weight = (
            (plane - grid.places[index]) / (grid.places[index + 1] - grid.places[index])
            if index + 1 < len(slices)
            else 0
        )
        if weight == 0:
            yield below
            continue
        above = _upright(slices, grid, index + 1) if above is None else above
        yield ((1 - weight) * below + weight * above).astype(np.float32)


def _upright(slices: Sequence[Slice], grid: Grid, index: int) -> np.ndarray:
    """A slice in float32, at its place in the rows or columns of the grid."""
    plane = _read(slices[index]).astype(np.float32)
    if grid.shifts is None:
        return plane
    turned = plane.T if grid.axis else plane
    moved = shifted(turned, float(grid.shifts[index]), rows=grid.shape[1 + grid.axis])
    return moved.T if grid.axis else moved


def shifted(plane: np.ndarray, shift: float, *, rows: int) -> np.ndarray:
    """A plane moved down by `shift` rows, 0 or more, into one of `rows` rows: linear between rows, air beyond them."""
    down = int(shift + ROUNDED)
    part = np.float32(max(shift - down, 0))
    moved = np.full((rows, plane.shape[1]), AIR, dtype=np.float32)
    if part <= ROUNDED:
        moved[down : down + len(plane)] = plane
    else:
        moved[down + 1 : down + len(plane)] = (1 - part) * plane[1:] + part * plane[:-1]
    return moved
