"""The shard store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from privrad.imaging.shards import open_shards, shard_of, write_shard


def pixels(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"shard-{shard}.safetensors" for shard in range(3)]
    write_shard(paths[0], pixels=pixels(4), image_ids=["d", "b", "c", "a"], refused={"colour_image": 2})
    write_shard(paths[1], pixels=pixels(0), image_ids=[], refused={})
    write_shard(paths[2], pixels=pixels(2, seed=1), image_ids=["0", "1"], refused={"colour_image": 1, "a": 5})
    return paths


def test_rows_follow_shards_then_ids(three: list[Path]) -> None:
    images = open_shards(three)
    assert images.image_ids == ("a", "b", "c", "d", "0", "1")
    assert (len(images), images.shape) == (6, (6, 6))
    assert images.refused == {"a": 5, "colour_image": 3}
    expected = np.concatenate([pixels(4)[[3, 1, 2, 0]], pixels(2, seed=1)])
    np.testing.assert_array_equal(images.take(range(6)), expected)
    rows = np.array([5, 0, 0, 3, 4])
    np.testing.assert_array_equal(images.take(rows), expected[rows])
    assert images.take([]).shape == (0, 6, 6)


def test_taken_images_are_a_copy(three: list[Path]) -> None:
    images = open_shards(three)
    taken = images.take([0])
    taken[:] = 0
    assert images.take([0]).any()


@pytest.mark.parametrize("rows", [[-1], [6], [0, 99]])
def test_rows_out_of_range(three: list[Path], rows: list[int]) -> None:
    with pytest.raises(IndexError, match="of 6 images"):
        open_shards(three).take(rows)


@pytest.mark.parametrize("rows", [np.array([True, False]), np.array([0.5])])
def test_rows_that_are_no_whole_numbers(three: list[Path], rows: np.ndarray) -> None:
    with pytest.raises(TypeError, match="give whole numbers"):
        open_shards(three).take(rows)


def test_safetensors_reads_it(three: list[Path]) -> None:
    with safe_open(three[0], framework="numpy") as file:
        assert json.loads(file.metadata()["image_ids"]) == ["a", "b", "c", "d"]
        assert json.loads(file.metadata()["refused"]) == {"colour_image": 2}
        np.testing.assert_array_equal(file.get_tensor("pixels"), pixels(4)[[3, 1, 2, 0]])
    with safe_open(three[1], framework="numpy") as file:
        assert file.get_tensor("pixels").shape == (0, 6, 6)


def test_same_images_same_bytes(three: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_shard(again, pixels=pixels(4)[::-1], image_ids=["a", "c", "b", "d"], refused={"colour_image": 2})
    assert again.read_bytes() == three[0].read_bytes()
    write_shard(again, pixels=pixels(2, seed=1), image_ids=["0", "1"], refused={"a": 5, "colour_image": 1})
    assert again.read_bytes() == three[2].read_bytes()


def test_opening_reads_no_pixels_and_keeps_no_file_open(three: list[Path]) -> None:
    images = open_shards(three)
    three[2].unlink()
    np.testing.assert_array_equal(images.take([0]), pixels(4)[[3]])
    with pytest.raises(FileNotFoundError):
        images.take([5])


def test_refused_writes(tmp_path: Path) -> None:
    for wrong in (pixels(2).astype(np.float32), pixels(2)[0], pixels(2)[:, :0]):
        with pytest.raises(ValueError, match="a shard takes uint8"):
            write_shard(tmp_path / "x", pixels=wrong, image_ids=["a", "b"], refused={})
    for image_ids in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="an id of its own"):
            write_shard(tmp_path / "x", pixels=pixels(2), image_ids=image_ids, refused={})
    assert not list(tmp_path.iterdir())


def test_damage_is_named(three: list[Path]) -> None:
    whole = three[0].read_bytes()
    damages = [
        whole[:-1],
        whole + b"x",
        whole[:40],
        whole[:5],
        b"",
        whole.replace(b'"U8"', b'"F8"'),
        whole.replace(b"[4,6,6]", b"[4,6,5]"),
        whole.replace(b"image_ids", b"imageXids"),
        whole.replace(b'\\"a\\", \\"b\\"', b'\\"b\\", \\"a\\"'),
        b"\xff" * 8 + whole[8:],
        whole[:8] + b"[1]" + b" " * (int.from_bytes(whole[:8], "little") - 3) + whole[-144:],
    ]
    for damage in damages:
        assert damage != whole
        three[0].write_bytes(damage)
        with pytest.raises(ValueError, match=r"shard-0\.safetensors is damaged .* run the prepare step again"):
            open_shards(three)


def test_shards_that_do_not_belong_together(three: list[Path], tmp_path: Path) -> None:
    write_shard(tmp_path / "large", pixels=pixels(1, size=8), image_ids=["z"], refused={})
    with pytest.raises(ValueError, match="shards differ in size"):
        open_shards([*three, tmp_path / "large"])
    with pytest.raises(ValueError, match="an image is in two"):
        open_shards([three[0], three[0]])
    with pytest.raises(ValueError, match="no shard is given"):
        open_shards([])
    with pytest.raises(ValueError, match="absent: No such file"):
        open_shards([tmp_path / "absent"])


def test_shard_of_a_patient() -> None:
    assert [shard_of(f"{number:032x}", shards=5) for number in (0, 4, 5, 2**127 + 1)] == [0, 4, 0, (2**127 + 1) % 5]
