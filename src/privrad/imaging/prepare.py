"""The prepare step: the radiographs or CT scans of one shard of a cohort, from files to one shard file."""

from __future__ import annotations

import contextlib
import csv
import gzip
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from privrad import config, files, progress
from privrad.imaging.shards import shard_of, write_shard
from privrad.imaging.task import Prepared, Size, Task, Window
from privrad.imaging.unreadable import Unreadable
from privrad.imaging.worker import Worker

log = logging.getLogger("privrad")
_BY_CHANCE = ("took_too_long", "crashed_decoder", "killed_decoder")
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
    text: Path | None = None,
    trusted: bool = False,
) -> None:
    """Prepare the images of the patients in one shard, one at a time, in a process of their own.

    `manifest` and `paths` are Parquet tables with image_id and patient_id, and with image_id and path (relative to
    `root`; of a scan also a folder). Writes the images as uint8 [n, rows, columns], or scans as uint8 [n, slices, rows,
    columns], with the counts of refusals to `out`, and one row (file, reason, remedy) for each refused image to
    `rejects`, and (file, lines) for each prepared radiograph that shows lines of text near its border to `text`.
    `trusted` says that whoever published the files has taken out what identifies patients. Raises ValueError for a
    shard outside 0 <= shard < image.shards.
    """
    if not 0 <= shard < image.shards:
        raise ValueError(f"shard is {shard}; with {image.shards} shards it must lie between 0 and {image.shards - 1}")
    task = _task(image, modality, root=root, trusted=trusted)
    wanted = _images(manifest, paths, shard=shard, shards=image.shards)
    refusals: list[tuple[str, str, str]] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent, prefix=f".{out.name}.") as scratch:
        shapes = (len(wanted), *task.shape)
        pixels = np.memmap(scratch, np.uint8, mode="w+", shape=shapes) if wanted else np.empty(shapes, np.uint8)
        kept: list[str] = []
        what = f"prepare shard {shard}"
        burned: list[tuple[str, str]] = []
        for image_id, path, prepared in _prepared(wanted, task, root=root, refusals=refusals, what=what):
            pixels[len(kept)] = prepared.pixels
            kept.append(image_id)
            if prepared.text_lines:
                burned.append((path, str(prepared.text_lines)))
        counts = Counter(reason for _, reason, _ in refusals)
        _write_private(rejects, ("file", "reason", "remedy"), refusals)
        if text is not None:
            _write_private(text, ("file", "lines"), burned)
        if burned:
            level = logging.INFO if trusted else logging.WARNING
            said = "%d of %d pictures show text near their border, which may name somebody; look at those in %s"
            log.log(level, said, len(burned), len(kept), text or "the cohort")
        _tell_of_chance(counts, out=out, rejects=rejects)
        write_shard(out, pixels=pixels[: len(kept)], image_ids=kept, refused=counts)


def _tell_of_chance(counts: Counter[str], *, out: Path, rejects: Path) -> None:
    """Warn of refusals that may be the computer's fault and not the files'."""
    met = [f"{reason} {counts[reason]}" for reason in _BY_CHANCE if counts[reason]]
    if met:
        said = "refused: %s. If these files (in %s) are sound, remove %s and prepare it again on a less busy computer"
        log.warning(said, ", ".join(met), rejects, out)


def _task(image: config.Image, modality: config.Modality, *, root: Path, trusted: bool) -> Task:
    size, window = image.size, image.window
    if modality == "radiograph" and isinstance(size, int):
        return Task(size, trusted=trusted)
    if modality == "ct" and isinstance(size, tuple) and window is not None:
        return Task(size, window, within=root.resolve(), trusted=trusted)
    raise ValueError(f"image.size {size} and image.window {window} are not for modality {modality}")


def prepare_image(source: Path, out: Path, *, size: int, trusted: bool = False) -> None:
    """Prepare one radiograph and write it as a grey PNG of size x size pixels.

    `trusted` is as of `run`. Raises Unreadable naming the file, and ValueError where it would be written over.
    """
    import cv2

    image = _one(source, out, Task(size, trusted=trusted)).pixels
    encoded, png = cv2.imencode(".png", image)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {out} as PNG")
    with files.atomic(out) as temporary:
        temporary.write_bytes(png.tobytes())


def prepare_volume(source: Path, out: Path, *, size: Size, window: Window, trusted: bool = False) -> None:
    """Prepare one CT scan and write it as NIfTI, uint8, with its place in the patient; same scan, same bytes.

    `source` is a NIfTI file, a folder of DICOM slices or one of them; `trusted` is as of `run`. Nothing but voxels and
    place goes into the new file. Raises Unreadable naming the source, and ValueError for an `out` that ends neither in
    .nii nor in .nii.gz or is the source itself.
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"{out}: a prepared volume is NIfTI; give it a name that ends in .nii.gz or .nii")
    content = _nifti(_one(source, out, Task(size, window, trusted=trusted)))
    with files.atomic(out) as temporary:
        temporary.write_bytes(gzip.compress(content, 6, mtime=0) if out.name.endswith(".gz") else content)


def _one(source: Path, out: Path, task: Task) -> Prepared:
    _refuse_over(source, out)
    try:
        with Worker(task) as worker:
            return worker.prepare(source)
    except Unreadable as error:
        raise error.of(source) from None


def _refuse_over(source: Path, out: Path) -> None:
    with contextlib.suppress(OSError):
        if source.samefile(out):
            raise ValueError(f"{out}: the prepared image would be written over its source; give it another name")


def _nifti(prepared: Prepared) -> bytes:
    """A NIfTI-1 file of a prepared volume [slices, rows, columns], under a header made anew."""
    from nibabel.nifti1 import Nifti1Image

    picture = Nifti1Image(prepared.pixels.T, _TO_RAS @ prepared.affine)
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
    except RuntimeError:
        raise Unreadable("outside_root", "the path goes through links in a circle; mend them") from None
    except OSError as error:
        raise Unreadable("missing_file", f"its path leads nowhere ({error.strerror}); correct the table") from None
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
    task: Task,
    *,
    root: Path,
    refusals: list[tuple[str, str, str]],
    what: str,
) -> Iterator[tuple[str, str, Prepared]]:
    """Yield each image that can be prepared with its id and path, and note the others in `refusals`."""
    with Worker(task) as worker:
        for image_id, path in progress.track(wanted, what=what):
            try:
                image = worker.prepare(locate(root, path))
            except Unreadable as error:
                refusals.append((path if isinstance(path, str) else image_id, error.reason, error.remedy))
            else:
                yield image_id, str(path), image


def _write_private(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with (
        files.atomic(path, mode=files.PRIVATE) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(header)
        table.writerows([files.cell(part) for part in row] for row in rows)
