"""The prepare step, from tables and files to a shard and its rejects."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.uid import JPEG2000Lossless

from privrad.imaging.prepare import prepare_image, run
from privrad.imaging.radiograph import prepare
from privrad.imaging.read import Unreadable
from privrad.imaging.shards import open_shards
from tests.imaging.made import Writer, dataset


def key(number: int) -> str:
    return f"{number:032x}"


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
    return {"manifest": tmp_path / "manifest.parquet", "paths": tmp_path / "paths.parquet", "root": root, "shards": 2}


def test_a_shard_and_its_rejects(cohort: dict[str, Any], chest: np.ndarray, tmp_path: Path) -> None:
    out, rejects = tmp_path / "out/shard-000.safetensors", tmp_path / "private/rejects.csv"
    run(**cohort, shard=0, size=32, out=out, rejects=rejects)
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
    run(**cohort, shard=1, size=16, out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    np.testing.assert_array_equal(open_shards([tmp_path / "one"]).take([0])[0], prepare(chest, size=16))
    assert (tmp_path / "rejects.csv").read_text() == "file,reason,remedy\n"


def test_same_files_same_bytes(cohort: dict[str, Any], tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(**cohort, shard=0, size=24, out=tmp_path / name / "shard", rejects=tmp_path / name / "rejects")
    for file in ("shard", "rejects"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_an_empty_shard(cohort: dict[str, Any], tmp_path: Path) -> None:
    run(**(cohort | {"shards": 7}), shard=6, size=24, out=tmp_path / "none", rejects=tmp_path / "rejects.csv")
    images = open_shards([tmp_path / "none"])
    assert (len(images), images.size, images.refused) == (0, 24, {})


def test_an_image_without_a_row_of_paths(cohort: dict[str, Any], tmp_path: Path) -> None:
    pd.read_parquet(cohort["paths"]).iloc[:2].to_parquet(cohort["paths"])
    run(**cohort, shard=1, size=16, out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert open_shards([tmp_path / "one"]).refused == {"missing_file": 1}
    assert key(890) in (tmp_path / "rejects.csv").read_text()


def test_progress_is_logged(cohort: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="privrad"):
        run(**cohort, shard=0, size=16, out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert "prepare shard 0: 10 in" in caplog.text


@pytest.mark.parametrize("shard", [-1, 2])
def test_a_shard_that_does_not_exist(cohort: dict[str, Any], shard: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must lie between 0 and 1"):
        run(**cohort, shard=shard, size=16, out=tmp_path / "one", rejects=tmp_path / "rejects.csv")


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
    run(**cohort, shard=0, size=16, out=tmp_path / "one", rejects=tmp_path / "rejects.csv")
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o777 == 0o600
