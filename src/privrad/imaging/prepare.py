"""The prepare step: the radiographs of one shard of a cohort, from files to one shard file."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from privrad import files, progress
from privrad.imaging import radiograph
from privrad.imaging.read import Unreadable, read_radiograph
from privrad.imaging.shards import shard_of, write_shard


def run(
    *, manifest: Path, paths: Path, root: Path, shard: int, shards: int, size: int, out: Path, rejects: Path
) -> None:
    """Prepare the images of the patients in one shard.

    `manifest` and `paths` are Parquet tables with image_id and patient_id, and with image_id and path (relative to
    `root`). Writes the images as uint8 [n, size, size] with the counts of refusals to `out`, and one row (file, reason,
    remedy) for each refused image to `rejects`. Raises ValueError for a shard outside 0 <= shard < shards.
    """
    if not 0 <= shard < shards:
        raise ValueError(f"shard is {shard}; with {shards} shards it must lie between 0 and {shards - 1}")
    wanted = _images(manifest, paths, shard=shard, shards=shards)
    refusals: list[tuple[str, str, str]] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent, prefix=f".{out.name}.") as scratch:
        shape = (len(wanted), size, size)
        pixels = np.memmap(scratch, np.uint8, mode="w+", shape=shape) if wanted else np.empty(shape, np.uint8)
        kept: list[str] = []
        what = f"prepare shard {shard}"
        for image_id, image in _prepared(wanted, root=root, size=size, refusals=refusals, what=what):
            pixels[len(kept)] = image
            kept.append(image_id)
        counts = Counter(reason for _, reason, _ in refusals)
        _write_rejects(rejects, refusals)
        write_shard(out, pixels=pixels[: len(kept)], image_ids=kept, refused=counts)


def prepare_image(source: Path, out: Path, *, size: int) -> None:
    """Prepare one radiograph and write it as a grey PNG of size x size pixels; raises Unreadable naming the file."""
    try:
        image = radiograph.prepare(read_radiograph(source), size=size)
    except Unreadable as error:
        raise error.of(source) from None
    encoded, png = cv2.imencode(".png", image)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode {out} as PNG")
    with files.atomic(out) as temporary:
        temporary.write_bytes(png.tobytes())


def locate(root: Path, path: object) -> Path:
    """The file that a table names by its path under `root`; Unreadable when it is absolute or leads elsewhere."""
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
    return file


def _images(manifest: Path, paths: Path, *, shard: int, shards: int) -> list[tuple[str, object]]:
    """(image_id, path) of the images in the shard, in the order of image_id; the path is None where no row gives it."""
    images = pd.read_parquet(manifest, columns=["image_id", "patient_id"])
    mine = images[[shard_of(patient, shards=shards) == shard for patient in images["patient_id"]]]
    named = pd.read_parquet(paths, columns=["image_id", "path"]).set_index("image_id")["path"].to_dict()
    return [(image_id, named.get(image_id)) for image_id in sorted(mine["image_id"])]


def _prepared(
    wanted: Sequence[tuple[str, object]], *, root: Path, size: int, refusals: list[tuple[str, str, str]], what: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each image that can be prepared with its id, and note the others in `refusals`."""
    for image_id, path in progress.track(wanted, what=what):
        try:
            image = radiograph.prepare(read_radiograph(locate(root, path)), size=size)
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
