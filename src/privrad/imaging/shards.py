"""The shard store: prepared images in safetensors files, read by memory map."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from privrad import files

_LENGTH = 8
_LARGEST_HEADER = 100_000_000
_BYTES_AT_ONCE = 2**26


def shard_of(patient_id: str, *, shards: int) -> int:
    """The shard of a patient: the keyed id, read as a hexadecimal number, modulo the number of shards."""
    return int(patient_id, 16) % shards


def write_shard(path: Path, *, pixels: np.ndarray, image_ids: Sequence[str], refused: Mapping[str, int]) -> None:
    """Write one shard atomically, its rows in the order of image_id; same input, same bytes.

    `pixels` is uint8 [n, rows, columns], or [n, slices, rows, columns] of volumes, one for each of `image_ids`;
    `refused` counts images by reason. The file is in the
    safetensors format, with the tensor `pixels` and the metadata `image_ids` and `refused`, both JSON. Raises
    ValueError for another shape or type, or a repeated id.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or not all(pixels.shape[1:]):
        taken = "uint8 [images, rows, columns] or [images, slices, rows, columns]"
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; a shard takes {taken}")
    if len(image_ids) != len(pixels) or len(set(image_ids)) != len(image_ids):
        different = len(set(image_ids))
        raise ValueError(f"{different} different image ids for {len(pixels)} images; give each image an id of its own")
    order = sorted(range(len(image_ids)), key=lambda row: image_ids[row])
    header = _header(pixels, [image_ids[row] for row in order], refused)
    with files.atomic(path) as temporary, temporary.open("wb") as stream:
        stream.write(len(header).to_bytes(_LENGTH, "little") + header)
        for some in batched(order, shape=pixels.shape[1:]):
            stream.write(np.ascontiguousarray(pixels[some]).data)


def batched(rows: Sequence[int] | np.ndarray, *, shape: tuple[int, ...]) -> Iterator[Sequence[int] | np.ndarray]:
    """Runs of `rows` whose images, of this shape, take 64 MiB at most together, or one image."""
    count = max(1, _BYTES_AT_ONCE // max(1, math.prod(shape)))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _header(pixels: np.ndarray, image_ids: list[str], refused: Mapping[str, int]) -> bytes:
    """The safetensors header, padded to whole words; the library's writer leaves the order of metadata to chance."""
    metadata = {"image_ids": json.dumps(image_ids), "refused": json.dumps(dict(refused), sort_keys=True)}
    tensor = {"dtype": "U8", "shape": list(pixels.shape), "data_offsets": [0, pixels.size]}
    text = json.dumps({"__metadata__": metadata, "pixels": tensor}, separators=(",", ":")).encode()
    if len(text) > _LARGEST_HEADER:
        raise ValueError(f"{len(image_ids)} images are too many for one shard; raise image.shards")
    return text + b" " * (-len(text) % 8)


@dataclass(frozen=True)
class Shard:
    """Where the pixels of one file begin, and what they show; the file is mapped at the first use."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    image_ids: tuple[str, ...]
    refused: Mapping[str, int]

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8 [images, (slices,) rows, columns], memory-mapped for reading."""
        shape = (len(self.image_ids), *self.shape)
        if not self.image_ids:
            return np.empty(shape, dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.offset, shape=shape)


@dataclass(frozen=True)
class Images:
    """Prepared images of several shards as one sequence: rows in the order of the shards, then of image_id."""

    shards: tuple[Shard, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of each image; slices, rows and columns of each volume."""
        return self.shards[0].shape

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """The keyed id of each row."""
        return tuple(image_id for shard in self.shards for image_id in shard.image_ids)

    @cached_property
    def refused(self) -> dict[str, int]:
        """How many images were refused, by reason in alphabetical order, over all shards."""
        reasons = sorted({reason for shard in self.shards for reason in shard.refused})
        return {reason: sum(shard.refused.get(reason, 0) for shard in self.shards) for reason in reasons}

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(shard.image_ids) for shard in self.shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Copy the images of `rows`, in any order and repeated at will, into uint8 [n, (slices,) rows, columns].

        Reads each shard front to back. Raises IndexError for a row outside 0 <= row < len(self), TypeError for rows
        that are not whole numbers.
        """
        wanted = np.asarray(rows).reshape(-1)
        if wanted.size and wanted.dtype.kind not in "iu":
            raise TypeError(f"rows are {wanted.dtype}; give whole numbers")
        wanted = wanted.astype(np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} are asked of {len(self)} images")
        images = np.empty((wanted.size, *self.shape), dtype=np.uint8)
        owners = np.searchsorted(self._ends, wanted, side="right")
        for place in np.lexsort((wanted, owners)):
            row, owner = wanted[place], owners[place]
            start = self._ends[owner] - len(self.shards[owner].image_ids)
            images[place] = self.shards[owner].pixels[row - start]
        return images


def open_shards(paths: Sequence[Path]) -> Images:
    """Open the shards of one cohort without reading a pixel.

    Raises ValueError for no paths, a missing or damaged file, shards of different sizes, or an image in two of them.
    """
    if not paths:
        raise ValueError("no shard is given; name at least one file that the prepare step wrote")
    shards = tuple(_open(Path(path)) for path in paths)
    sizes = {shard.shape: shard.path for shard in shards}
    if len(sizes) > 1:
        named = ", ".join(f"{path} of {' x '.join(map(str, shape))}" for shape, path in sorted(sizes.items()))
        raise ValueError(f"shards differ in size: {named}; prepare the whole cohort at one size")
    images = Images(shards)
    if len(set(images.image_ids)) != len(images.image_ids):
        raise ValueError(
            f"an image is in two of {[str(path) for path in paths]}; give each shard of one preparation once"
        )
    return images


def _open(path: Path) -> Shard:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH), "little")
            if not 0 < length <= _LARGEST_HEADER:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(stream.read(length))
        return _shard(path, header, _LENGTH + length)
    except OSError as error:
        raise ValueError(f"shard {path}: {error.strerror}; run the prepare step") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"shard {path} is damaged ({error}); delete it and run the prepare step again") from None


def _shard(path: Path, header: dict[str, Any], offset: int) -> Shard:
    image_ids = json.loads(header["__metadata__"]["image_ids"])
    refused = json.loads(header["__metadata__"]["refused"])
    tensor = header["pixels"]
    count, *shape = tensor["shape"]
    if tensor["dtype"] != "U8" or len(shape) not in (2, 3) or count != len(image_ids) or min(count, *shape) < 0:
        raise ValueError(f"{tensor['dtype']} {tensor['shape']} for {len(image_ids)} images")
    if image_ids != sorted(image_ids):
        raise ValueError("image ids out of order")
    expected = offset + count * math.prod(shape)
    if tensor["data_offsets"] != [0, expected - offset] or path.stat().st_size != expected:
        raise ValueError(f"{path.stat().st_size} bytes, not {expected}")
    counts = {str(reason): int(number) for reason, number in refused.items()}
    return Shard(path, offset, tuple(shape), tuple(image_ids), counts)
