"""A study of cohorts full of identifiers: afterwards none is in any file outside private/ and work/."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privrad import config
from privrad.cohorts import phantom
from privrad.imaging.shards import open_shards
from tests.system import identifiers
from tests.system.identifiers import Planted
from tests.test_workflow import Workspace

pytestmark = pytest.mark.system
PATIENTS, SCANS = 60, 28
PRIVATE = {"private", "work", "keys", "cohorts"}
"""What may hold identifiers: the hospital's own folders, and where its cohorts lie."""

CHEST = """
  chest:
    findings: [cardiomegaly]
    cohorts:
      private:
        id: ward
        layout: uka_cxr
        sensitivity: private
        budget: {epsilon: 10, delta: 1e-3}
        root: cohorts/chest
        labels: {cardiomegaly: heart}
    split: {private: {by: hash, validation: 0.2, test: 0.3}}
    image: {size: 32, shards: 1}
    model: {network: resnet9, width: 8, groups: 4}
    pretraining: none
    budgets: [8]
    privacy: {population: 30, expected_batch: 10, steps: 3, delta: 1e-3, noise: release}
    training: {positive_weights: none, without_privacy: {augmentation: none}}
    evaluation: {redraws: 50}
"""
PANCREAS = (
    CHEST.replace("chest:", "pancreas:\n    modality: ct")
    .replace("cardiomegaly: heart", "pdac: pdac")
    .replace("cardiomegaly", "pdac")
    .replace("id: ward", "id: clinic")
    .replace("uka_cxr", "pdac")
    .replace("cohorts/chest", "cohorts/ct")
    .replace("by: hash, validation: 0.2, test: 0.3", "by: table")
    .replace("size: 32,", "size: [16, 16, 16], window: [-150, 250],")
    .replace("resnet9", "scale_resnet9")
    .replace("population: 30, expected_batch: 10", f"population: {SCANS // 3}, expected_batch: 5")
    .replace("redraws: 50", "redraws: 50, age_bands: quartiles, minimum_cell: 5")
)
STUDY = f"""
study: identified
seed: 7
performance: {{device: cpu, threads: 1, physical_batch: 32}}
experiments:{CHEST}{PANCREAS}"""


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted(np.random.default_rng(3))


@pytest.fixture(scope="module")
def hospital(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A hospital's clone, in which a study of radiographs and scans ran to its report."""
    workspace = Workspace(tmp_path_factory.mktemp("hospital"))
    workspace.original = STUDY
    workspace.fill()
    cohorts = workspace.folder / "cohorts"
    for name in ("chest", "ct"):
        (cohorts / name).mkdir(parents=True)
    identifiers.radiographs(cohorts / "chest", planted, count=PATIENTS)
    drawn = config.Phantom(style="private", patients=2 * SCANS, size=64, images_per_patient=(1, 1))
    phantom.run(drawn, layout="pdac", seed=5, out=workspace.folder / "work/drawn")
    identifiers.scans(cohorts / "ct", planted, workspace.folder / "work/drawn", count=SCANS)
    run = workspace.snakemake()
    assert run.returncode == 0, run.stdout
    (workspace.folder / "logs/said.log").write_text(run.stdout)
    return workspace


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file as they are, and unpacked where it is packed."""
    raw = path.read_bytes()
    yield raw
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()
    elif raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)
    for packed in re.findall(rb"stream\r?\n(.*?)endstream", raw, re.S) if path.suffix == ".pdf" else ():
        yield zlib.decompressobj().decompress(packed)
    for word in re.findall(rb"[A-Za-z0-9+/=_-]{16,}", raw):
        yield unpacked(word)


def unpacked(word: bytes) -> bytes:
    """What a word stands for if it is base64."""
    try:
        return base64.urlsafe_b64decode(word.replace(b"+", b"-").replace(b"/", b"_") + b"===")
    except ValueError:
        return b""


def leaks(folder: Path, planted: Planted) -> list[str]:
    """Each file outside the hospital's own folders that holds an identifier, in its bytes or its name, and whose."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0] in PRIVATE or not path.is_file():
            continue
        names = b"\n".join([str(inside).encode(), *(unpacked(part.encode()) for part in inside.parts)])
        held = b"\n".join([names, *contents(path)])
        known = {text for pattern in (rb"QZ[A-Z0-9]{10}", rb"[1-9]{24}") for text in re.findall(pattern, held)}
        found += [f"{inside}: {planted.places[text.decode()]}" for text in known if text.decode() in planted.places]
        found += [f"{inside}: the day {day}" for day in identifiers.WRITTEN if day.encode() in held]
    return found


def test_the_study_ran_over_all_that_was_planted(hospital: Workspace, planted: Planted) -> None:
    assert (hospital.folder / "results/identified/report.html").is_file()
    refused = pd.read_csv(hospital.folder / "results/identified/chest/ingest/private/refused.csv")
    assert dict(zip(refused["reason"], refused["count"], strict=True)) == {"missing_file": 1, "unknown_label": 1}
    for name, count in (("chest", PATIENTS - 1), ("pancreas", SCANS)):
        assert (
            len(open_shards([hospital.folder / f"results/identified/{name}/prepare/private/shard-000.safetensors"]))
            == count
        )
    places = " ".join(planted.places.values())
    for place in ("PatientName", "PatientBirthName", "OverlayComments", "sequence 8 deep", "private element of 6001"):
        assert place in places
    assert len(planted.places) > 1000 * PATIENTS


def test_no_identifier_left(hospital: Workspace, planted: Planted) -> None:
    assert leaks(hospital.folder, planted) == []


def test_an_identifier_that_leaks_would_be_found(hospital: Workspace, planted: Planted) -> None:
    text, place = next(iter(planted.places.items()))
    folder = hospital.folder / "logs/leaking"
    folder.mkdir()
    (folder / "plain.log").write_text(f"could not read {text}")
    (folder / "packed.gz").write_bytes(gzip.compress(text.encode()))
    (folder / base64.urlsafe_b64encode(f"results/{text}".encode()).decode()).touch()
    pd.DataFrame({"id": [text]}).to_parquet(folder / "table.parquet")
    (folder / "day.csv").write_text("seen\n1911-03-17\n")
    found = leaks(hospital.folder, planted)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert len(found) == 5
    assert sum(leak.endswith(place) for leak in found) == 4
    assert "logs/leaking/day.csv: the day 1911-03-17" in found


def test_every_number_of_the_report_recomputes(hospital: Workspace) -> None:
    run = hospital.privrad("verify", "results/identified", "--all", "--study", "config.yaml", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["holds"] is True


def test_a_second_run_does_nothing(hospital: Workspace) -> None:
    assert hospital.planned() == {}


def test_what_the_hospital_keeps_can_be_traced_back(hospital: Workspace, planted: Planted) -> None:
    paths = pd.read_parquet(hospital.folder / "private/identified/chest/locate/private/paths.parquet")
    assert set(paths["source_patient"]) <= set(planted.places)
    rejects = (hospital.folder / "private/identified/chest/ingest/private/rejects.csv").read_text()
    assert any(text in rejects for text in re.findall(r"QZ[A-Z0-9]{10}", rejects))
