"""The prepare step, from tables and files to a shard and its rejects."""

from __future__ import annotations

import csv
import logging
import shutil
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from pydicom.uid import JPEG2000Lossless
from scipy.spatial.transform import Rotation

from privrad import config
from privrad.imaging import ct, task
from privrad.imaging.prepare import prepare_image, prepare_volume, run
from privrad.imaging.radiograph import prepare
from privrad.imaging.read import Unreadable
from privrad.imaging.shards import open_shards
from tests.imaging.made import Writer, dataset
from tests.imaging.made_ct import write_series
from tests.imaging.made_scan import body, scan


def key(number: int) -> str:
    return f"{number:032x}"


def radiographs(size: int, *, shards: int = 2) -> dict[str, Any]:
    return {"image": config.Image(size=size, shards=shards), "modality": "radiograph"}


@pytest.fixture
def cohort(tmp_path: Path, chest: np.ndarray) -> dict[str, Any]:
    """Four patients; two shards; in shard 0 two good images and several that are refused, in shard 1 one good one."""
    root = tmp_path / "cohort"
    root.mkdir()
    dataset(chest).save_as(root / "a.dcm", enforce_file_format=True)
    compressed = dataset(chest[::-1].copy())
    compressed.compress(JPEG2000Lossless, generate_instance_uid=False)
    compressed.save_as(root / "b.dcm", enforce_file_format=True)
    dataset(np.full((9, 9), 5, np.uint16)).save_as(root / "flat.dcm", enforce_file_format=True)
    dataset(chest).save_as(tmp_path / "elsewhere.dcm", enforce_file_format=True)
    (root / "link.dcm").symlink_to(tmp_path / "elsewhere.dcm")
    (root / "inside.dcm").symlink_to("a.dcm")
    (root / "circle.dcm").symlink_to("circle.dcm")
    files = [
        ("b.dcm", 2),
        ("a.dcm", 0),
        ("flat.dcm", 2),
        ("none, or lost.dcm", 2),
        ("../elsewhere.dcm", 2),
        (str(tmp_path / "elsewhere.dcm"), 2),
        (str(root / "a.dcm"), 2),
        ("link.dcm", 2),
        ("circle.dcm", 2),
        ("", 2),
        ("inside.dcm", 3),
    ]
    ids = [key(900 - number) for number in range(len(files))]
    manifest = pd.DataFrame({"image_id": ids, "patient_id": [key(patient) for _, patient in files]})
    manifest.sort_values("image_id").to_parquet(tmp_path / "manifest.parquet", index=False)
    paths = pd.DataFrame({"image_id": ids, "path": [name for name, _ in files]})
    paths.to_parquet(tmp_path / "paths.parquet", index=False)
    return {"manifest": tmp_path / "manifest.parquet", "paths": tmp_path / "paths.parquet", "root": root}


def test_a_shard_and_its_rejects(cohort: dict[str, Any], chest: np.ndarray, tmp_path: Path) -> None:
    out, rejects = tmp_path / "out/shard-000.safetensors", tmp_path / "private/rejects.csv"
    run(**cohort, shard=0, **radiographs(32), out=out, rejects=rejects)
    images = open_shards([out])
    assert images.image_ids == (key(899), key(900))
    expected = [prepare(chest, size=32), prepare(chest[::-1], size=32)]
    np.testing.assert_array_equal(images.take([0, 1]), expected)
    with rejects.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["reason"]) for row in rows] == [
        ("", "missing_file"),
        ("circle.dcm", "outside_root"),
        ("link.dcm", "outside_root"),
        (str(cohort["root"] / "a.dcm"), "outside_root"),
        (str(tmp_path / "elsewhere.dcm"), "outside_root"),
        ("../elsewhere.dcm", "outside_root"),
        ("none, or lost.dcm", "missing_file"),
        ("flat.dcm", "constant_image"),
    ]
    assert all(row["remedy"] for row in rows)
    assert images.refused == {"constant_image": 1, "missing_file": 2, "outside_root": 5}
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_links_within_the_root_are_followed(cohort: dict[str, Any], chest: np.ndarray, tmp_path: Path) -> None:
    run(**cohort, shard=1, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    np.testing.assert_array_equal(open_shards([tmp_path / "one"]).take([0])[0], prepare(chest, size=32))
    assert (tmp_path / "rejects.csv").read_text() == "file,reason,remedy\n"


def test_same_files_same_bytes(cohort: dict[str, Any], tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(**cohort, shard=0, **radiographs(40), out=tmp_path / name / "shard", rejects=tmp_path / name / "rejects")
    for file in ("shard", "rejects"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_an_empty_shard(cohort: dict[str, Any], tmp_path: Path) -> None:
    run(**cohort, shard=6, **radiographs(40, shards=7), out=tmp_path / "none", rejects=tmp_path / "rejects.csv")
    images = open_shards([tmp_path / "none"])
    assert (len(images), images.shape, images.refused) == (0, (40, 40), {})


def test_an_image_without_a_row_of_paths(cohort: dict[str, Any], tmp_path: Path) -> None:
    pd.read_parquet(cohort["paths"]).iloc[:2].to_parquet(cohort["paths"])
    run(**cohort, shard=1, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert open_shards([tmp_path / "one"]).refused == {"missing_file": 1}
    assert key(890) in (tmp_path / "rejects.csv").read_text()


def test_progress_is_logged(cohort: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="privrad"):
        run(**cohort, shard=0, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert "prepare shard 0: 10 in" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def _replace(cohort: dict[str, Any], name: str, *, by: str) -> None:
    table = pd.read_parquet(cohort["paths"])
    table.loc[table["path"] == name, "path"] = by
    table.to_parquet(cohort["paths"])


def test_refusals_that_may_be_the_computers_fault_are_warned_of(
    cohort: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(task, "SECONDS_AT_MOST", 0.0)
    cv2.imwrite(str(cohort["root"] / "large.png"), np.tile(np.arange(250, dtype=np.uint8), (5000, 20)))
    _replace(cohort, "inside.dcm", by="large.png")
    run(**cohort, shard=1, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert open_shards([tmp_path / "one"]).refused == {"took_too_long": 1}
    (warning,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert warning == (
        f"refused: took_too_long 1. If these files (in {tmp_path / 'rejects.csv'}) are sound, remove "
        f"{tmp_path / 'one'} and prepare it again on a less busy computer"
    )


@pytest.mark.parametrize(("trusted", "level"), [(False, logging.WARNING), (True, logging.INFO)])
def test_text_in_a_picture_is_told_where_it_is_looked_for(
    cohort: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, trusted: bool, level: int
) -> None:
    marked = cv2.putText(np.full((300, 400), 60, np.uint8), "KOWALSKI", (20, 40), 0, 1, 250, 2)
    marked[100:200, 100:300] = 120
    cv2.imwrite(str(cohort["root"] / "marked.png"), marked)
    _replace(cohort, "inside.dcm", by="marked.png")
    out, rejects, text = (tmp_path / name for name in ("one", "rejects.csv", "text.csv"))
    with caplog.at_level(logging.INFO, logger="privrad"):
        run(**cohort, shard=1, **radiographs(32), out=out, rejects=rejects, text=text, trusted=trusted)
    assert text.read_text() == "file,lines\nmarked.png,1\n"
    said = f"1 of 1 pictures show text near their border, which may name somebody; look at those in {text}"
    assert [record.levelno for record in caplog.records if record.getMessage() == said] == [level]


@pytest.mark.parametrize("shard", [-1, 2])
def test_a_shard_that_does_not_exist(cohort: dict[str, Any], shard: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must lie between 0 and 1"):
        run(**cohort, shard=shard, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")


def test_one_image_to_png(chest: np.ndarray, write: Writer, tmp_path: Path) -> None:
    source = write(4095 - chest, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    prepare_image(source, tmp_path / "deep/down.png", size=48)
    first = (tmp_path / "deep/down.png").read_bytes()
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "deep/down.png"), cv2.IMREAD_UNCHANGED), prepare(chest, size=48)
    )
    prepare_image(source, tmp_path / "deep/down.png", size=48)
    assert (tmp_path / "deep/down.png").read_bytes() == first


def test_one_image_refused(write: Writer, tmp_path: Path) -> None:
    source = write(np.full((9, 9), 5, np.uint16))
    with pytest.raises(Unreadable, match=r"^constant_image: .*image: every pixel shows 5; [^\n]+$"):
        prepare_image(source, tmp_path / "out.png", size=48)
    assert not (tmp_path / "out.png").exists()


def test_rejects_are_their_owners_alone(cohort: dict[str, Any], tmp_path: Path) -> None:
    run(**cohort, shard=0, **radiographs(32), out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o777 == 0o600


def volumes(*, shards: int = 1) -> dict[str, Any]:
    return {"image": config.Image(size=(24, 20, 12), window=(-150, 250), shards=shards), "modality": "ct"}


@pytest.fixture
def scans(tmp_path: Path) -> dict[str, Any]:
    """A NIfTI file, a folder of slices, one slice of a folder, one of links within; and seven that are refused."""
    root = tmp_path / "scans"
    root.mkdir()
    nibabel.save(nibabel.Nifti1Image(body().T, np.diag([-2.0, -2.5, 4, 1])), root / "a.nii.gz")
    write_series(root / "folder", body(seed=1))
    slices = write_series(root / "named", body(seed=2))
    write_series(root / "short", body()[:5])
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.diag([2.0, 2, 2, 1])), root / "labels.nii.gz")
    (root / "empty").mkdir()
    write_series(tmp_path / "elsewhere", body(seed=3))
    (root / "linked").mkdir()
    for path in (tmp_path / "elsewhere").iterdir():
        (root / "linked" / path.name).symlink_to(path)
    (root / "linked/000").unlink()
    shutil.copy(tmp_path / "elsewhere/000", root / "linked/000")
    (root / "pool").mkdir()
    for path in slices[:20]:
        (root / "pool" / path.name).symlink_to(path)
    files = [
        "a.nii.gz",
        "folder",
        str(slices[3].relative_to(root)),
        "short",
        "labels.nii.gz",
        "empty",
        "../scans",
        "..",
        "linked",
        "linked/000",
        str(Path("pool", slices[3].name)),
    ]
    ids = [key(number) for number in range(len(files))]
    pd.DataFrame({"image_id": ids, "patient_id": ids}).to_parquet(tmp_path / "manifest.parquet", index=False)
    pd.DataFrame({"image_id": ids, "path": files}).to_parquet(tmp_path / "paths.parquet", index=False)
    return {"manifest": tmp_path / "manifest.parquet", "paths": tmp_path / "paths.parquet", "root": root}


def test_a_shard_of_scans_and_its_rejects(scans: dict[str, Any], tmp_path: Path) -> None:
    out, rejects = tmp_path / "shard", tmp_path / "rejects.csv"
    run(**scans, shard=0, **volumes(), out=out, rejects=rejects)
    images = open_shards([out])
    assert images.image_ids == (key(0), key(1), key(2), key(10))
    values = [*(body(seed=seed) for seed in range(3)), body(seed=2)[:20]]
    expected = [ct.prepare(scan(each), size=(24, 20, 12), window=(-150, 250)) for each in values]
    np.testing.assert_array_equal(images.take([0, 1, 2, 3]), expected)
    with rejects.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["reason"]) for row in rows] == [
        ("short", "too_few_slices"),
        ("labels.nii.gz", "label_map"),
        ("empty", "no_ct_slices"),
        ("../scans", "no_ct_slices"),
        ("..", "outside_root"),
        ("linked", "outside_root"),
        ("linked/000", "outside_root"),
    ]
    assert all(row["remedy"] for row in rows)


def test_an_empty_shard_of_scans(scans: dict[str, Any], tmp_path: Path) -> None:
    run(**scans, shard=99, **volumes(shards=100), out=tmp_path / "none", rejects=tmp_path / "rejects.csv")
    images = open_shards([tmp_path / "none"])
    assert (len(images), images.shape, images.refused) == (0, (12, 20, 24), {})


def test_same_scans_same_bytes(scans: dict[str, Any], tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(**scans, shard=0, **volumes(), out=tmp_path / name / "shard", rejects=tmp_path / name / "rejects")
    for file in ("shard", "rejects"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_size_of_the_other_modality(scans: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image\.size 32 and image\.window None are not for modality ct"):
        run(**scans, shard=0, **(radiographs(32) | {"modality": "ct"}), out=tmp_path / "x", rejects=tmp_path / "y")
    with pytest.raises(ValueError, match="are not for modality radiograph"):
        run(**scans, shard=0, **(volumes() | {"modality": "radiograph"}), out=tmp_path / "x", rejects=tmp_path / "y")


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_one_scan_to_nifti(tmp_path: Path, name: str) -> None:
    """What is written opens in other software, at the place in the patient where it was."""
    values, affine = np.full((24, 40, 48), -1000, np.int16), np.diag([2.0, 2.5, 4, 1])
    values[:, 4:36, 7:41] = -100
    values[:, 5:35, 8:40] = 40
    values[15:18, 10:14, 30:36] = 250
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-1.0, -1, 1, 1]) @ affine), tmp_path / "in.nii.gz")
    prepare_volume(tmp_path / "in.nii.gz", tmp_path / "deep" / name, size=(96, 20, 48), window=(-150, 250))
    itk: Any = SimpleITK
    written = itk.ReadImage(str(tmp_path / "deep" / name))
    volume = itk.GetArrayFromImage(written)
    np.testing.assert_array_equal(volume, ct.prepare(scan(values, affine), size=(96, 20, 48), window=(-150, 250)))
    assert volume.dtype == np.uint8
    corners = np.argwhere(volume >= 250)
    middle = (corners.min(axis=0) + corners.max(axis=0))[::-1] / 2
    place = written.TransformContinuousIndexToPhysicalPoint(middle.tolist())
    np.testing.assert_allclose(place, [2 * 32.5, 2.5 * 11.5, 4 * 16], atol=1e-4)
    image: Any = nibabel.load(tmp_path / "deep" / name)
    np.testing.assert_allclose(image.header.get_qform(), image.header.get_sform(), atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_an_oblique_scan_keeps_its_place(tmp_path: Path) -> None:
    turn = Rotation.from_rotvec([10, 20, -15], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 2.5, 4])
    affine[:3, 3] = 5, 6, 7
    nibabel.save(nibabel.Nifti1Image(body().T, np.diag([-1.0, -1, 1, 1]) @ affine), tmp_path / "in.nii")
    prepare_volume(tmp_path / "in.nii", tmp_path / "out.nii.gz", size=(96, 20, 48), window=(-150, 250))
    itk: Any = SimpleITK
    written = itk.ReadImage(str(tmp_path / "out.nii.gz"))
    for ours, theirs in (((-0.5, -0.5, -0.5), (-0.5, -0.5, -0.5)), ((47.5, 39.5, 23.5), (95.5, 19.5, 47.5))):
        place = written.TransformContinuousIndexToPhysicalPoint(theirs)
        np.testing.assert_allclose(place, (affine @ [*ours, 1])[:3], atol=1e-3)


def test_same_scan_same_file(scans: dict[str, Any], tmp_path: Path) -> None:
    for name in ("one.nii.gz", "other.nii.gz"):
        prepare_volume(scans["root"] / "folder", tmp_path / name, size=(24, 20, 12), window=(-150, 250))
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()


@pytest.mark.parametrize("name", ["out.png", "out", "nii", "out.nii.gz.txt"])
def test_a_volume_is_written_as_nifti_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"a prepared volume is NIfTI; give it a name that ends in \.nii\.gz or \.nii"):
        prepare_volume(tmp_path / "in.nii.gz", tmp_path / name, size=(24, 20, 12), window=(-150, 250))


@pytest.mark.parametrize("what", ["short", "labels.nii.gz", "empty", "none"])
def test_one_scan_refused(scans: dict[str, Any], tmp_path: Path, what: str) -> None:
    with pytest.raises(Unreadable, match=rf"^\w+: .*{what}: [^\n]+; [^\n]+$"):
        prepare_volume(scans["root"] / what, tmp_path / "out.nii.gz", size=(24, 20, 12), window=(-150, 250))
    assert not (tmp_path / "out.nii.gz").exists()


def test_nothing_is_written_over_its_source(tmp_path: Path) -> None:
    kept = tmp_path / "scan.nii.gz"
    kept.write_bytes(b"as it was")
    with pytest.raises(ValueError, match="written over its source; give it another name"):
        prepare_volume(kept, tmp_path / "." / "scan.nii.gz", size=(8, 8, 8), window=(-150, 250))
    with pytest.raises(ValueError, match="written over its source; give it another name"):
        prepare_image(kept, kept, size=64)
    assert kept.read_bytes() == b"as it was"
