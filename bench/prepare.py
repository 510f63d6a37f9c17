"""The cost of preparing a radiograph, against decoding it and resizing it once."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless

from privrad.imaging.radiograph import prepare
from privrad.imaging.read import read_radiograph

ROWS, COLUMNS, SIZE, BOUND = 3056, 2544, 512, 1.5


def radiograph() -> Dataset:
    """A 16-bit MONOCHROME1 radiograph of soft shapes and detector noise, with a window that clips both ends."""
    generator = np.random.default_rng(0)
    down, across = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    body = np.exp(-4 * across**2) * (1 + 0.3 * np.cos(20 * down)) + 0.2 * down
    pixels = np.clip(30_000 + 20_000 * body + generator.normal(0, 60, body.shape), 0, 65_535).astype(np.uint16)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME1", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.WindowCenter, image.WindowWidth = 42_000, 24_000
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    return image


def yardstick(path: Path) -> np.ndarray:
    """Decoding by pydicom and one resize by OpenCV."""
    return cv2.resize(dcmread(path).pixel_array, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def prepared(path: Path) -> np.ndarray:
    """What the prepare step does with one file."""
    return prepare(read_radiograph(path), size=SIZE)


def compare(path: Path, *, repeats: int) -> tuple[float, float]:
    """Median milliseconds of preparing and of the yardstick over interleaved repeats, after one of each to warm up."""
    times: dict[Callable[[Path], np.ndarray], list[float]] = {prepared: [], yardstick: []}
    for _ in range(repeats + 1):
        for work, taken in times.items():
            start = time.perf_counter()
            work(path)
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[prepared][1:]), statistics.median(times[yardstick][1:])


def main() -> None:
    """Measure an uncompressed and a JPEG 2000 file, and print one JSON line."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "radiograph.dcm"
        image = radiograph()
        image.save_as(path, enforce_file_format=True)
        prepare_ms, yardstick_ms = compare(path, repeats=15)
        image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.save_as(path, enforce_file_format=True)
        compressed = compare(path, repeats=3)
    result = {
        "claim": "preparing a 16-bit radiograph costs at most 1.5 times decoding it and resizing it once by INTER_AREA",
        "size": [ROWS, COLUMNS, SIZE],
        "ratio": round(prepare_ms / yardstick_ms, 3),
        "bound": BOUND,
        "prepare_ms": round(prepare_ms, 2),
        "yardstick_ms": round(yardstick_ms, 2),
        "ratio_jpeg_2000": round(compressed[0] / compressed[1], 3),
        "prepare_jpeg_2000_ms": round(compressed[0], 1),
        "yardstick_jpeg_2000_ms": round(compressed[1], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
