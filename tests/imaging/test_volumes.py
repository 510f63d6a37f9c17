"""Real CT volumes, healthy and odd: each gives the right volume, checked by other software, or a written reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK

from privrad.imaging import ct
from privrad.imaging.read import read_scan
from privrad.imaging.unreadable import Unreadable
from tests.imaging import slow

SIZE, WINDOW = (96, 80, 64), (-150.0, 250.0)
FULL = (224, 224, 128)
VOLUME = "volume"
HEALTHY = ("abdomen_ts_3mm", "abdomen_ts_3mm_upper30", "chest_innereye_lps")
EXPECTED = {
    **{f"nifti/{name}.nii.gz": VOLUME for name in HEALTHY},
    "nifti/abdomen_ts_3mm_upper30_labels.nii.gz": "label_map",
    "nifti/head_pitch_uint8.nii.gz": "not_hounsfield",
    "ct_series/gantry_tilt/dicom": "too_few_slices",
    "ct_series/liver_3slices": "not_ct",
    "ct_series/liver_3slices/dcm2niix.nii.gz": "too_few_slices",
    "ct_series/liver_3slices/dicom": "too_few_slices",
    "ct_series/missing_slice": "no_ct_slices",
    "ct_series/missing_slice/dicom": "too_few_slices",
    "ct_series/missing_slice/ground_truth_of_the_source.nii.gz": "too_few_slices",
    "ct_series/phantom_5mm": "no_ct_slices",
    "ct_series/phantom_5mm/dcm2niix.nii.gz": "too_few_slices",
    "ct_series/phantom_5mm/dicom": "too_few_slices",
}


def outcome(path: Path) -> str:
    try:
        prepared = ct.prepare(read_scan(path), size=SIZE, window=WINDOW)
    except Unreadable as error:
        return error.reason if error.remedy else "no remedy"
    return VOLUME if prepared.min() == 0 and prepared.max() == 255 else "not of full range"


def test_every_volume(real_data: Path) -> None:
    files = [*(real_data / "nifti").iterdir(), *(real_data / "ct_series").rglob("*.nii.gz")]
    folders = [
        path
        for path in (real_data / "ct_series").rglob("*")
        if path.is_dir() and any(map(Path.is_file, path.iterdir()))
    ]
    found = {str(path.relative_to(real_data)): outcome(path) for path in sorted([*files, *folders])}
    assert found == EXPECTED


def test_every_label_map_is_refused_as_one(real_data: Path) -> None:
    files = sorted((real_data / "nifti_labels").rglob("*.nii.gz"))
    assert len(files) == 10
    assert {path.name: outcome(path) for path in files} == {path.name: "label_map" for path in files}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("size", [(48, 40, 16), (61, 110, 30)])
def test_against_nibabel_and_an_independent_account(real_data: Path, name: str, size: tuple[int, int, int]) -> None:
    path = real_data / f"nifti/{name}.nii.gz"
    image: Any = nibabel.as_closest_canonical(nibabel.load(path))
    values = np.asarray(image.dataobj)[::-1, ::-1].T
    prepared = ct.prepare(read_scan(path), size=size, window=WINDOW)
    assert np.abs(prepared - slow.prepared(values, size=size, window=WINDOW)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("name", HEALTHY)
def test_against_simpleitk(real_data: Path, name: str) -> None:
    """SimpleITK, asked for the values at the places that the prepared grid claims, gives the same grey levels."""
    itk: Any = SimpleITK
    path = real_data / f"nifti/{name}.nii.gz"
    scan = read_scan(path)
    grid = ct.grid(scan, size=FULL)
    spacing = np.linalg.norm(grid[:3, :3], axis=0)
    filter_ = itk.ResampleImageFilter()
    filter_.SetSize(FULL)
    filter_.SetOutputOrigin(grid[:3, 3].tolist())
    filter_.SetOutputSpacing(spacing.tolist())
    filter_.SetOutputDirection((grid[:3, :3] / spacing).ravel().tolist())
    filter_.SetInterpolator(itk.sitkLinear)
    filter_.SetUseNearestNeighborExtrapolator(True)
    source = itk.Clamp(itk.ReadImage(str(path), itk.sitkFloat64), itk.sitkFloat64, *WINDOW)
    expected = (itk.GetArrayFromImage(filter_.Execute(source)) + 150) * 255 / 400
    prepared = ct.prepare(scan, size=FULL, window=WINDOW)
    differences = np.abs(prepared - expected)
    assert differences.max() < 1
    assert (differences <= 0.51).mean() > 0.999


def test_the_liver_is_up_and_right_and_the_spine_behind(real_data: Path) -> None:
    """Neither upside down nor mirrored nor back to front, as a radiologist looks at it."""
    prepared = ct.prepare(read_scan(real_data / "nifti/abdomen_ts_3mm.nii.gz"), size=SIZE, window=WINDOW)
    organ, bone = (prepared > 110) & (prepared < 190), prepared == 255
    bottom, top = np.array_split(organ, 2, axis=0)
    right, left = np.array_split(top[-16:], 2, axis=2)
    assert right.mean() > 1.2 * left.mean()
    assert top[-16:].mean() > 1.2 * bottom[:16].mean()
    front, back = np.array_split(bone, 2, axis=1)
    assert back[32:].sum() > 3 * front[32:].sum()


@pytest.mark.parametrize("name", ["phantom_5mm", "liver_3slices"])
def test_a_series_and_its_conversion_give_one_volume(real_data: Path, name: str) -> None:
    folder = real_data / "ct_series" / name
    by_dicom, by_nifti = read_scan(folder / "dicom"), read_scan(folder / "dcm2niix.nii.gz")
    np.testing.assert_array_equal(
        ct.resample(by_dicom, size=(224, 224, 16), window=WINDOW),
        ct.resample(by_nifti, size=(224, 224, 16), window=WINDOW),
    )
    np.testing.assert_allclose(ct.grid(by_dicom, size=SIZE), ct.grid(by_nifti, size=SIZE), atol=1e-3)
