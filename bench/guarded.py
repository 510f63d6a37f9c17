"""How fast compressed radiographs are ingested and prepared with all guards on, against decoding them alone."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from privrad import config
from privrad.cohorts import ingest, locate
from privrad.imaging import prepare
from privrad.imaging.shards import open_shards

COUNT, A_SHARD, DRAWN, ROWS, COLUMNS, SIZE, BOUND = 2000, 250, 16, 1024, 832, 512, 0.7


def radiograph(number: int, *, syntax: str) -> Dataset:
    """A 12-bit radiograph of soft shapes and detector noise, compressed."""
    generator = np.random.default_rng(number)
    down, across = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    body = np.exp(-4 * across**2) * (1 + 0.3 * np.cos((20 + number) * down)) + 0.2 * down
    pixels = np.clip(1500 + 1500 * body + generator.normal(0, 8, body.shape), 0, 4095).astype(np.uint16)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID, image.Modality = f"1.2.{number}", "DX"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME1", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.WindowCenter, image.WindowWidth = 2200, 2400
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    image.compress(syntax, generate_instance_uid=False)
    return image


def write(root: Path, count: int) -> config.Cohort:
    """A cohort of `count` radiographs, by turns JPEG 2000 and RLE, in one table; a few are drawn, the others links."""
    for number in range(count):
        path = root / f"{number}.dcm"
        if number < DRAWN:
            image = radiograph(number, syntax=(JPEG2000Lossless, RLELossless)[number % 2])
            image.save_as(path, enforce_file_format=True)
        else:
            os.link(root / f"{number % DRAWN}.dcm", path)
    rows = {"image": [f"{number}.dcm" for number in range(count)], "patient_id": [f"p{n // 2}" for n in range(count)]}
    table = pd.DataFrame(rows).assign(study_id="s", age=50, sex="F", view="PA", bedside="no", heart="normal")
    table.to_csv(root / "uka_cxr.csv", index=False)
    settings = {"id": "bench", "layout": "uka_cxr", "sensitivity": "public", "root": str(root)}
    return config.Cohort.model_validate(settings | {"labels": {"cardiomegaly": "heart"}})


def ingested(cohort: config.Cohort, root: Path, work: Path) -> float:
    """Seconds of reading the tables into a manifest and paths."""
    start = time.perf_counter()
    told: dict[str, Any] = {"findings": ["cardiomegaly"], "root": root, "key": bytes(32), "manifest": work / "manifest"}
    ingest.run(cohort, **told, refused=work / "refused", rejects=work / "rejects")
    locate.run(cohort, **told, out=work / "paths")
    return time.perf_counter() - start


def prepared(root: Path, work: Path, shard: int, *, shards: int) -> tuple[float, list[Path]]:
    """Seconds of preparing one shard as its rule does, and the files in it; none may be refused."""
    out = work / f"shard-{shard}"
    start = time.perf_counter()
    prepare.run(
        manifest=work / "manifest",
        paths=work / "paths",
        root=root,
        shard=shard,
        image=config.Image(size=SIZE, shards=shards),
        modality="radiograph",
        out=out,
        rejects=work / "rejects",
    )
    seconds = time.perf_counter() - start
    images, paths = open_shards([out]), pd.read_parquet(work / "paths").set_index("image_id")["path"]
    if images.refused:
        raise RuntimeError(f"refused: {images.refused}; all radiographs of this benchmark are whole")
    return seconds, [root / name for name in paths[list(images.image_ids)]]


def decoded(files: list[Path]) -> float:
    """Seconds of decoding files by pydicom, one after another in this process."""
    start = time.perf_counter()
    for path in files:
        _ = dcmread(path).pixel_array
    return time.perf_counter() - start


def main() -> None:
    """Measure shard by shard, each way in turn, and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=COUNT, help=f"how many radiographs ({COUNT})")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        root, work = Path(folder) / "cohort", Path(folder) / "work"
        root.mkdir()
        work.mkdir()
        cohort = write(root, count)
        decoded([root / f"{number}.dcm" for number in range(min(count, DRAWN))])
        guarded_s, plain_s, files = ingested(cohort, root, work), 0.0, 0
        shards = max(1, count // A_SHARD)
        for shard in range(shards):
            seconds, names = prepared(root, work, shard, shards=shards)
            guarded_s, plain_s, files = guarded_s + seconds, plain_s + decoded(names), files + len(names)
    if files != count:
        raise RuntimeError(f"{files} of {count} radiographs were prepared")
    result = {
        "claim": "ingest and preparation with all guards run at 0.7 or more of the rate of decoding alone",
        "radiographs": count,
        "size": [ROWS, COLUMNS, SIZE],
        "ratio": round(plain_s / guarded_s, 3),
        "bound": BOUND,
        "guarded_s": round(guarded_s, 1),
        "decoding_s": round(plain_s, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
