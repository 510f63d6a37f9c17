"""The cost of preparing a CT scan, against reading it with SimpleITK, and the memory that it takes."""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from privrad.imaging.ct import prepare
from privrad.imaging.read import read_scan

PLANES, ROWS, COLUMNS, LONG = 300, 512, 512, 600
SIZE, WINDOW = (224, 224, 128), (-150.0, 250.0)
BOUND, MEMORY_BOUND, REPEATS = 1.3, 2.0, 7


def body(plane: int) -> np.ndarray:
    """Hounsfield units of one plane through a soft shape with a detector's noise in air, int16 [rows, columns]."""
    generator = np.random.default_rng(plane)
    down, across = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    inside = down**2 / 0.5 + across**2 / 0.8 < 0.9 + 0.1 * np.sin(plane / 40)
    tissue = 40 + 60 * np.cos(7 * across + plane / 30) - 100 * (down > 0.5)
    values: np.ndarray = np.where(inside, tissue, -1000) + generator.normal(0, 15, inside.shape)
    units: np.ndarray = np.rint(values).astype(np.int16)
    return units


def series(folder: Path) -> None:
    """A regular axial series of 0.8 x 0.8 x 1 mm, uncompressed, 16 bits, one file a slice, named in no order."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.Modality, slice_.SeriesInstanceUID = CTImageStorage, "CT", "1.2.3"
    slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.Rows, slice_.Columns, slice_.PixelSpacing = ROWS, COLUMNS, [0.8, 0.8]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation, slice_.PixelRepresentation = 1, "MONOCHROME2", 0
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
    slice_.RescaleSlope, slice_.RescaleIntercept, slice_.RescaleType = 1, -1024, "HU"
    names = np.random.default_rng(0).permutation(PLANES)
    for plane, name in enumerate(names.tolist()):
        slice_.SOPInstanceUID, slice_.InstanceNumber = f"1.2.3.{plane + 1}", plane + 1
        slice_.ImagePositionPatient = [-204, -204, float(plane)]
        slice_.PixelData = np.maximum(body(plane) + 1024, 0).astype(np.uint16).tobytes()
        slice_["PixelData"].VR = "OW"
        slice_.save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)


def nifti(path: Path) -> None:
    """A gzipped NIfTI file of float64 voxels, 0.8 x 0.8 x 1 mm, written plane by plane."""
    header: Any = nibabel.Nifti1Header()
    header.set_data_shape((COLUMNS, ROWS, LONG))
    header.set_data_dtype(np.float64)
    header.set_sform(np.diag([-0.8, -0.8, 1, 1]), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(header.binaryblock + b"\0" * 4)
        for plane in range(LONG):
            stream.write((body(plane % 40) + 0.25).tobytes())


def prepared(path: Path) -> np.ndarray:
    """What the prepare step does with one scan."""
    return prepare(read_scan(path), size=SIZE, window=WINDOW)


def yardstick(path: Path) -> np.ndarray:
    """Reading the series by SimpleITK: the slices' names in order, then their pixels."""
    itk: Any = SimpleITK
    reader = itk.ImageSeriesReader()
    reader.SetFileNames(itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
    values: np.ndarray = itk.GetArrayViewFromImage(reader.Execute())
    return values


def compare(path: Path) -> tuple[float, float]:
    """Median seconds of preparing and of the yardstick over interleaved repeats, after one of each to warm up."""
    times: dict[Callable[[Path], np.ndarray], list[float]] = {prepared: [], yardstick: []}
    for _ in range(REPEATS + 1):
        for work, taken in times.items():
            start = time.perf_counter()
            work(path)
            taken.append(time.perf_counter() - start)
    return statistics.median(times[prepared][1:]), statistics.median(times[yardstick][1:])


def peak(path: Path) -> float:
    """The most memory, in GiB, that a process of its own takes to prepare one scan."""
    command = [sys.executable, "-m", "bench.prepare_volume", "--peak", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure an uncompressed series, and the memory for it and for a long NIfTI file, and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peak", type=Path, help="prepare this scan alone, and print the peak memory in GiB")
    alone: Path | None = parser.parse_args().peak
    if alone is not None:
        prepared(alone)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        print(int(status["VmHWM"].split()[0]) / 2**20)
        return
    itk: Any = SimpleITK
    itk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        dicom, long = Path(folder) / "series", Path(folder) / "long.nii.gz"
        dicom.mkdir()
        series(dicom)
        prepare_s, yardstick_s = compare(dicom)
        memory = peak(dicom)
        nifti(long)
        long_memory = peak(long)
    result = {
        "claim": "preparing a CT series costs at most 1.3 times reading it by SimpleITK, and less than 2 GiB of memory",
        "size": [COLUMNS, ROWS, PLANES, *SIZE],
        "ratio": round(prepare_s / yardstick_s, 3),
        "bound": BOUND,
        "prepare_s": round(prepare_s, 3),
        "yardstick_s": round(yardstick_s, 3),
        "peak_gib": round(memory, 3),
        "peak_gib_nifti_float64_600_planes": round(long_memory, 3),
        "peak_gib_bound": MEMORY_BOUND,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
