"""Fingerprints: one picture is found again, two are told apart, radiographs and volumes alike."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from privrad.cohorts import abdomen
from privrad.imaging import alignment, ct, fingerprint, radiograph
from privrad.imaging.scan import Scan
from tools.duplicates import CHANGES, change, drawn

SIZE = 96


@pytest.fixture(scope="module")
def chests() -> list[np.ndarray]:
    """Sixty drawn radiographs as they were before preparation, of patients with one or two."""
    return [picture for _, picture in drawn(60, style="private", seed=40, size=192)]


def same(prepared: Sequence[np.ndarray], *, queries: int | None = None) -> dict[tuple[int, int], float]:
    pictures = [fingerprint.picture(image) for image in prepared]
    shown = [picture for picture in pictures if picture is not None]
    assert len(shown) == len(pictures)
    blank = np.empty((0, alignment.SIDE, alignment.SIDE), dtype=np.int8)
    details = np.concatenate([blank, *(alignment.detail(picture)[None] for picture in shown)])
    pairs = fingerprint.same(details, shown.__getitem__, queries=len(shown) if queries is None else queries)
    keys = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return dict(zip(keys, pairs.correlation.tolist(), strict=True))


@pytest.mark.parametrize("size", [64, 96, 320])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_copy_is_found_at_every_size(chests: list[np.ndarray], size: int, kind: str) -> None:
    generator = np.random.default_rng(3)
    copies = [change(picture, kind, generator) for picture in chests[:6]]
    prepared = [radiograph.prepare(picture, size=size) for picture in [*chests[:20], *copies]]
    found = same(prepared)
    assert set(found) == {(number, 20 + number) for number in range(6)}
    assert min(found.values()) >= fingerprint.ALIKE


def test_different_radiographs_are_told_apart(chests: list[np.ndarray]) -> None:
    assert same([radiograph.prepare(picture, size=SIZE) for picture in chests]) == {}


def test_only_pairs_with_a_query_are_given(chests: list[np.ndarray]) -> None:
    cut = [picture[4:-2, 3:-5] for picture in chests[:3]]
    prepared = [radiograph.prepare(picture, size=SIZE) for picture in [*chests[:8], *cut]]
    assert set(same(prepared, queries=2)) == {(0, 8), (1, 9)}
    assert set(same(prepared, queries=0)) == set()


def test_the_place_of_a_cut_is_measured(chests: list[np.ndarray]) -> None:
    rows, columns = chests[0].shape
    top, bottom, left, right = 4, 2, 1, 5
    cut = chests[0][top : rows - bottom, left : columns - right]
    pictures = [fingerprint.picture(radiograph.prepare(picture, size=128)) for picture in (chests[0], cut)]
    one, other = (picture for picture in pictures if picture is not None)
    details = np.stack([alignment.detail(one), alignment.detail(other)])
    guess = alignment.Likely(np.array([0]), np.array([1]), np.zeros((1, 4), dtype=np.float32))
    aligned = alignment.align(details, guess)
    true = alignment.place_of(left / columns, right / columns, top / rows, bottom / rows)
    assert aligned.place[0] == pytest.approx(true, abs=0.006)
    assert alignment.correlation(one, other, place=aligned.place[0]) > 0.97
    assert alignment.correlation(one, other, place=np.zeros(4)) > 0.97
    assert alignment.correlation(one, np.rot90(one).copy(), place=np.zeros(4)) < 0.5


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one(chests: list[np.ndarray], count: int) -> None:
    assert same([radiograph.prepare(picture, size=SIZE) for picture in chests[:count]]) == {}


def test_pictures_without_detail_are_not_alike() -> None:
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    halves = np.repeat(np.array([[0], [255]], dtype=np.uint8), SIZE // 2, axis=0).repeat(SIZE, axis=1)
    assert same([flat, flat, halves, halves]) == {}


def test_images_that_are_too_small_have_no_picture() -> None:
    assert fingerprint.picture(np.zeros((63, 90), np.uint8)) is None
    assert fingerprint.picture(np.zeros((63, 90, 90), np.uint8)) is None


def test_equal_images_have_equal_digests() -> None:
    image = np.random.default_rng(1).integers(0, 256, (70, 70), dtype=np.uint8)
    assert fingerprint.digest(image) == fingerprint.digest(np.asfortranarray(image))
    other = image.copy()
    other[3, 4] ^= 1
    assert fingerprint.digest(image) != fingerprint.digest(other)


def scans(count: int) -> list[abdomen.Drawn]:
    """Two drawn scans of each of `count` patients."""
    found = []
    for number in range(count):
        generator = np.random.default_rng([7, number])
        body = abdomen.draw_body(generator, sex="F", age=60)
        for _ in range(2):
            look = abdomen.draw_scanner(generator)
            drawing = abdomen.draw(body, tumour=False, scanner=look, phase=abdomen.PHASES[-1], size=64, rng=generator)
            found.append(drawing)
    return found


def prepared_scan(units: np.ndarray, drawn_scan: abdomen.Drawn) -> np.ndarray:
    affine = np.diag([drawn_scan.pixel, drawn_scan.pixel, drawn_scan.thickness, 1.0])
    return ct.prepare(Scan(units.shape, affine, lambda: iter(units)), size=(80, 80, 64), window=(-150, 250))


def test_a_scan_is_found_again_and_another_of_the_patient_is_not() -> None:
    found = scans(4)
    volumes = [prepared_scan(scan.hu, scan) for scan in found]
    resized = np.stack([cv2.resize(plane, (100, 100), interpolation=cv2.INTER_LINEAR) for plane in found[0].hu])
    copies = [prepared_scan(found[5].hu[2:-1, 1:-2, 2:], found[5]), prepared_scan(resized, found[0])]
    assert set(same([*volumes, *copies])) == {(5, 8), (0, 9)}
