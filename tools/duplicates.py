"""How many planted duplicates are found, and how many other images are named, among drawn and real radiographs.

`python -m tools.duplicates [--radiographs 50000] [--planted 10000] [--seed 1] [--real FOLDER]` prints one JSON line.
Half of the radiographs are drawn in the look of each scanner, of patients with one or two. A planted duplicate is a
picture under another patient id: the same, or encoded again, resized, cropped, brighter or darker, of other contrast
or gamma, or two of these. `--real` names a folder of published NIH pictures, planted as the drawn ones are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from privrad import config
from privrad.cohorts import chest, duplicates, patients
from privrad.cohorts import manifest as manifests
from privrad.imaging import radiograph
from privrad.imaging.read import read_radiograph
from privrad.imaging.shards import write_shard

DRAWN, SIZE = 192, 128
STYLES: tuple[config.Role, ...] = ("public", "private")


def encode(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality 60 to 95."""
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def resize(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half to twice the size."""
    factor = 2 ** rng.uniform(-1, 1)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=how))


def crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to 5 % off each side."""
    rows, columns = picture.shape
    top, bottom, left, right = np.rint(rng.uniform(0, 0.05, 4) * (rows, rows, columns, columns)).astype(int)
    return picture[top : rows - bottom, left : columns - right]


def brighten(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a fifth of the range brighter or darker, and clipped."""
    return _bytes(picture + 255 * rng.uniform(-0.2, 0.2))


def contrast(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast by 0.7 to 1.3, and clipped."""
    return _bytes((picture - 127.5) * rng.uniform(0.7, 1.3) + 127.5)


def gamma(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gamma of 0.7 to 1.4."""
    return _bytes(255 * (picture / 255) ** rng.uniform(0.7, 1.4))


def _bytes(values: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return whole


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    change.__name__: change for change in (encode, resize, crop, brighten, contrast, gamma)
}
KINDS = (*["exact"] * 4, *CHANGES, *CHANGES, *("+".join(two) for two in itertools.combinations(CHANGES, 2)))


def change(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A picture changed as `kind` says: exact, one of CHANGES, or two joined by +."""
    for name in () if kind == "exact" else kind.split("+"):
        picture = CHANGES[name](picture, rng)
    return picture


def drawn(count: int, *, style: config.Role, seed: int, size: int = DRAWN) -> Iterator[tuple[str, np.ndarray]]:
    """`count` radiographs uint8 [rows, columns] with the name of their patient, who has one or two."""
    phantom = config.Phantom(patients=count, images_per_patient=(1, 2), size=size, style=style)
    left = count
    for patient, rng in patients.each(phantom, seed=seed):
        body = chest.draw_body(rng, sex=patient.sex, age=patient.age)
        for shot in patient.radiographs[:left]:
            devices = chest.draw_devices(rng, body=body, bedside=shot.bedside)
            grades = dict(zip(patients.FINDINGS, shot.grades, strict=True))
            look: dict[str, Any] = {"style": style, "bedside": shot.bedside, "difficulty": shot.difficulty}
            picture = chest.frontal(body, grades, devices=devices, size=size, rng=rng, **look)
            yield f"{style} {patient.number}", _bytes(255 * picture)
            left -= 1
        if not left:
            return


def real(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The published pictures in a folder with metadata.csv, with the name of their patient."""
    table = pd.read_csv(folder / "metadata.csv")
    for file, patient in zip(table["file"], table["Patient ID"], strict=True):
        yield f"real {patient}", _bytes(read_radiograph(folder / file))


def plant(
    pictures: Iterator[tuple[str, np.ndarray]], *, count: int, planted: int, size: int, seed: int, first: int, out: Path
) -> pd.DataFrame:
    """Prepare pictures and copies of `planted` of them into a shard; the table of what they are, numbered from `first`.

    Columns image_id, patient_id, truth (the number of the picture shown) and kind ("" of what is no copy).
    """
    rng = np.random.default_rng([seed, first])
    chosen = set(rng.choice(count, planted, replace=False).tolist())
    pixels = np.empty((count + planted, size, size), dtype=np.uint8)
    rows: list[tuple[str, int, str]] = []
    for number, (patient, picture) in enumerate(pictures):
        kinds = ["", KINDS[(len(rows) - number) % len(KINDS)]] if number in chosen else [""]
        for kind in kinds:
            shown = change(picture, kind, rng) if kind else picture
            pixels[len(rows)] = radiograph.prepare(shown, size=size)
            rows.append((f"copy {number} of {patient}" if kind else patient, first + number, kind))
    table = pd.DataFrame(rows, columns=["patient", "truth", "kind"])
    order = rng.permutation(len(table))
    table["image_id"] = [f"{2 * first + place:032x}" for place in order]
    write_shard(out, pixels=pixels, image_ids=table["image_id"].tolist(), refused={})
    return table


def manifest_of(table: pd.DataFrame) -> pd.DataFrame:
    """A manifest of planted pictures."""
    codes = pd.factorize(table["patient"])[0]
    ids = pd.Series([f"{code:032x}" for code in codes], dtype="str", index=table.index)
    fixed: dict[str, Any] = {
        "view": "PA",
        "age": 50.0,
        "sex": "F",
        "bedside": False,
        "site": "here",
        "source_split": "",
    }
    images = table[["image_id"]].assign(patient_id=ids, study_id=table["image_id"], **fixed, finding=0)
    images = images.astype({"bedside": "boolean", "finding": "int8"})
    return images.sort_values("image_id", ignore_index=True)[list(manifests.schema(["finding"]).columns)]


def find(table: pd.DataFrame, shards: list[Path], folder: Path) -> pd.DataFrame:
    """What `duplicates` finds in these pictures as one private cohort split by hash."""
    source = folder / "ingest.parquet"
    manifests.write(source, manifest_of(table), findings=["finding"])
    places: dict[str, Any] = {name: folder / f"{name}.parquet" for name in ("kept", "identities", "found")}
    places |= {name: folder / f"{name}.csv" for name in ("counts", "removed")}
    duplicates.run(
        manifest=source, shards=shards, findings=["finding"], role="private", by_table=False, public=None, **places
    )
    return pd.read_parquet(places["found"])


def score(table: pd.DataFrame, found: pd.DataFrame) -> dict[str, Any]:
    """How many of each kind are grouped with the picture that they copy, and how many images with another one."""
    group = dict(zip(found["image_id"], found["other_id"], strict=True))
    table = table.assign(group=[group.get(image, image) for image in table["image_id"]])
    original = table[table["kind"] == ""].set_index("truth")["group"]
    copies = table[table["kind"] != ""]
    hit = copies["group"] == copies["truth"].map(original)
    mixed = table.groupby("group")["truth"].transform("nunique") > 1
    kinds = hit.groupby(copies["kind"]).agg(["sum", "size"])
    exact = copies["kind"] == "exact"
    return {
        "exact": [int(hit[exact].sum()), int(exact.sum())],
        "changed": [int(hit[~exact].sum()), int((~exact).sum())],
        "others_named": [int(mixed[table["kind"] == ""].sum()), int((table["kind"] == "").sum())],
        "missed": {str(kind): int(size - number) for kind, number, size in kinds.itertuples() if number < size},
    }


def _draw(task: tuple[config.Role, int, int, int, int, Path]) -> pd.DataFrame:
    style, count, planted, seed, first, out = task
    pictures = drawn(count, style=style, seed=seed)
    return plant(pictures, count=count, planted=planted, size=SIZE, seed=seed, first=first, out=out)


def measure(*, radiographs: int, planted: int, seed: int, folder: Path | None) -> dict[str, Any]:
    """One measurement, in a temporary folder."""
    started = time.monotonic()
    half, part = radiographs // 2, planted // 2
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / f"{look}.safetensors" for look in (*STYLES, "real")]
        tasks = [(STYLES[k], half, part, seed, k * half, places[k]) for k in (0, 1)]
        with multiprocessing.Pool(2) as pool:
            tables = pool.map(_draw, tasks)
        if folder is not None:
            count = len(pd.read_csv(folder / "metadata.csv"))
            known = {"count": count, "planted": count // 5, "size": SIZE, "seed": seed, "first": 2 * half}
            tables.append(plant(real(folder), **known, out=places[2]))
        ready = time.monotonic()
        table = pd.concat(tables, ignore_index=True)
        found = find(table, places[: len(tables)], Path(name))
        done = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = {"seconds_drawing": round(ready - started), "seconds": round(done - ready), "peak_mib": peak}
    return {"images": len(table), "seed": seed} | score(table, found) | seconds


def within(measured: dict[str, Any]) -> bool:
    """Whether all exact copies and 99 % of the changed ones were found, and at most 1 in 1,000 others was named."""
    (exact, all_exact), (changed, all_changed) = measured["exact"], measured["changed"]
    named, others = measured["others_named"]
    return bool(exact == all_exact and changed >= 0.99 * all_changed and named <= 0.001 * others)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--radiographs", type=int, default=50_000)
    parser.add_argument("--planted", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    measured = measure(**{k: v for k, v in vars(given).items() if k != "real"}, folder=given.real)
    print(json.dumps(measured))
    sys.exit(not within(measured))
