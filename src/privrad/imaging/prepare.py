"""The prepare step: the radiographs or CT scans of one shard of a cohort, from files to one shard file."""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from privrad import config, files, progress
from privrad.imaging import ct, radiograph
from privrad.imaging.read import Unreadable, read_radiograph, read_scan
from privrad.imaging.shards import shard_of, write_shard

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def run(
    *,
    manifest: Path,
    paths: Path,
    root: Path,
    shard: int,
    image: config.Image,
    modality: config.Modality,
    out: Path,
    rejects: Path,
) -> None:
    """Prepare the images of the patients in one shard, one at a time.

    `manifest` and `paths` are Parquet tables with image_id and patient_id, and with image_id and path (relative to
    `root`; of a scan also a folder). Writes the images as uint8 [n, rows, columns], or scans as uint8 [n, slices, rows,
    columns], with the counts of refusals to `out`, and one row (file, reason, remedy) for each refused image to
    `rejects`. Raises ValueError for a shard outside 0 <= shard < image.shards.
    """
    if not 0 <= shard < image.shards:
        raise ValueError(f"shard is {shard}; with {image.shards} shards it must lie between 0 and {image.shards - 1}")
    shape, prepare = _preparation(image, modality, root=root)
    wanted = _images(manifest, paths, shard=shard, shards=image.shards)
    refusals: list[tuple[str, str, str]] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent, prefix=f".{out.name}.") as scratch:
        shapes = (len(wanted), *shape)
        pixels = np.memmap(scratch, np.uint8, mode="w+", shape=shapes) if wanted else np.empty(shapes, np.uint8)
        kept: list[str] = []
        what = f"prepare shard {shard}"
        for image_id, prepared in _prepared(wanted, prepare, root=root, refusals=refusals, what=what):
            pixels[len(kept)] = prepared
            kept.append(image_id)
        counts = Counter(reason for _, reason, _ in refusals)
        _write_rejects(rejects, refusals)
        write_shard(out, pixels=pixels[: len(kept)], image_ids=kept, refused=counts)


def _preparation(
    image: config.Image, modality: config.Modality, *, root: Path
) -> tuple[tuple[int, ...], Callable[[Path], np.ndarray]]:
    """The shape of one prepared image, and what makes it of a file."""
    size, window = image.size, image.window
    if modality == "radiograph" and isinstance(size, int):
        return (size, size), lambda path: radiograph.prepare(read_radiograph(path), size=size)
    if modality == "ct" and isinstance(size, tuple) and window is not None:
        home = root.resolve()
        return size[::-1], lambda path: ct.prepare(read_scan(path, within=home), size=size, window=window)
    raise ValueError(f"image.size {size} and image.window {window} are not for modality {modality}")


def prepare_image(source: Path, out: Path, *, size: int) -> None:
    """Prepare one radiograph and write it as a grey PNG of size x size pixels.

    Raises Unreadable naming the file, and ValueError where it would be written over.
    """
    _refuse_over(source, out)
    try:
        image = radiograph.prepare(read_radiograph(source), size=size)
    except Unreadable as error:
        raise error.of(source) from None
    encoded, png = cv2.imencode(".png", image)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {out} as PNG")
    with files.atomic(out) as temporary:
        temporary.write_bytes(png.tobytes())


def prepare_volume(source: Path, out: Path, *, size: ct.Size, window: ct.Window) -> None:
    """Prepare one CT scan and write it as NIfTI, uint8, with its place in the patient; same scan, same bytes.

    `source` is a NIfTI file, a folder of DICOM slices or one of them. Raises Unreadable naming it, and ValueError for
    an `out` that ends neither in .nii nor in .nii.gz or is `source` itself.
    """
    _refuse_over(source, out)
    if not out.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{out}: a prepared volume is NIfTI; give it a name that ends in .nii.gz or .nii")
    try:
        scan = read_scan(source)
        volume = ct.prepare(scan, size=size, window=window)
    except Unreadable as error:
        raise error.of(source) from None
    content = _nifti(volume, ct.grid(scan, size=size))
    with files.atomic(out) as temporary:
        temporary.write_bytes(gzip.compress(content, 6, mtime=0) if out.name.endswith(".gz") else content)


def _refuse_over(source: Path, out: Path) -> None:
    if out.resolve() == source.resolve():
        raise ValueError(f"{out}: the prepared image would be written over its source; give it another name")


def _nifti(volume: np.ndarray, affine: np.ndarray) -> bytes:
    """A NIfTI-1 file of a prepared volume [slices, rows, columns] with its affine to L, P, S."""
    picture = Nifti1Image(volume.T, _TO_RAS @ affine)
    picture.header.set_xyzt_units("mm")
    picture.set_sform(picture.affine, code="scanner")
    picture.set_qform(picture.affine, code="scanner")
    picture.header["cal_max"] = 255
    content: bytes = picture.to_bytes()
    return content


def locate(root: Path, path: object) -> Path:
    """The file or folder that a table names by its path under `root`; Unreadable for one that leads elsewhere."""
    text = path if isinstance(path, str) else ""
    if not text or "\0" in text:
        raise Unreadable("missing_file", "the table gives no usable path; enter one relative to the cohort's root")
    base = root.resolve()
    try:
        file = (base / text).resolve()
    except (OSError, RuntimeError):
        raise Unreadable("outside_root", "the path goes through links in a circle; mend them") from None
    if Path(text).is_absolute() or not file.is_relative_to(base):
        raise Unreadable("outside_root", "the path leaves the cohort's root; enter one relative to it and within it")
    return base / text


def _images(manifest: Path, paths: Path, *, shard: int, shards: int) -> list[tuple[str, object]]:
    """(image_id, path) of the images in the shard, in the order of image_id; the path is None where no row gives it."""
    images = pd.read_parquet(manifest, columns=["image_id", "patient_id"])
    mine = images[[shard_of(patient, shards=shards) == shard for patient in images["patient_id"]]]
    named = pd.read_parquet(paths, columns=["image_id", "path"]).set_index("image_id")["path"].to_dict()
    return [(image_id, named.get(image_id)) for image_id in sorted(mine["image_id"])]


def _prepared(
    wanted: Sequence[tuple[str, object]],
    prepare: Callable[[Path], np.ndarray],
    *,
    root: Path,
    refusals: list[tuple[str, str, str]],
    what: str,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each image that can be prepared with its id, and note the others in `refusals`."""
    for image_id, path in progress.track(wanted, what=what):
        try:
            image = prepare(locate(root, path))
        except Unreadable as error:
            refusals.append((path if isinstance(path, str) else image_id, error.reason, error.remedy))
        else:
            yield image_id, image


def _write_rejects(path: Path, refusals: Sequence[tuple[str, str, str]]) -> None:
    with (
        files.atomic(path, mode=files.PRIVATE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("file", "reason", "remedy"))
        table.writerows(refusals)
