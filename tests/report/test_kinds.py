"""What the kind of a number promises, held against pages of studies that differ in one patient.

Of a page of a private cohort, a `public` number depends on no patient of it, and an `epsilon` number on no patient
outside training. One patient more or less changes counts, and through them or the weights all that was measured; the
pages here are made from files in which all of these have moved.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest

from privrad import files
from privrad.imaging import shards
from privrad.report import figures, measurements, report
from tests.report import reading, tree

GROUPS = {("all", "all"): 1.0, ("sex", "F"): 0.36, ("sex", "M"): 0.64}
TRAINED = ("eps-0.29", "eps-1.06", "eps-inf", "eps-inf-matched")
Place = tuple[str, tuple[tuple[str, str], ...], str]
Numbers = dict[Place, tuple[str, str]]
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tree.Tree:
    return tree.build(tmp_path_factory.mktemp("kinds"), private=True, budgets="0.29, 1.06, inf", groups=GROUPS)


def numbers(built: tree.Tree, folder: Path, *, change: Change | None, internal: bool) -> Numbers:
    """Kind and text of each number of the page of a copy of the study, by the place that it names."""
    results = folder / "results"
    for path in sorted(built.results.rglob("*")):
        if path.is_file():
            (results / path.relative_to(built.results)).parent.mkdir(parents=True, exist_ok=True)
            (results / path.relative_to(built.results)).write_bytes(path.read_bytes())
    if change is not None:
        change(results / "chest")
    copied = replace(built, results=results)
    with mock.patch.object(figures, "FIGURES", ()), mock.patch("privrad.report.missed.of", return_value=()):
        report.run(**copied.arguments, out=folder / "page.html", internal=internal)
    held: Numbers = {}
    for one in reading.Page((folder / "page.html").read_text(encoding="utf-8")).numbers:
        held[one.file, tuple(sorted(one.row.items())), one.column] = (one.kind, one.text)
    return held


def one_test_patient_less(base: Path) -> None:
    """Counts of the test part and of the cohort, and all that was measured on test patients."""
    _measured_anew(base, share=0.997)
    _counted(base, part="test", by=1)


def one_training_patient_less(base: Path) -> None:
    """Counts of the training part and of the cohort, the weights without noise, and all that was measured with them."""
    _measured_anew(base, share=0.996)
    _counted(base, part="train", by=1)
    for arm in TRAINED:
        for path in (base / "finetune" / arm).rglob("*.json"):
            held = json.loads(path.read_text(encoding="utf-8")) | {"seen_of_the_cohort": {"units": 239, "images": 478}}
            if "model" in held:
                held["model"]["weights_sha256"] = "f" + held["model"]["weights_sha256"][1:]
            files.write_json(path, held)


def _measured_anew(base: Path, *, share: float) -> None:
    for name, columns in measurements.COLUMNS.items():
        path = base / "evaluate" / f"{name}.csv"
        table = pd.read_csv(path, dtype={column: str for column in columns if column in measurements.TEXT})
        for column in table.columns:
            of_data = column not in {
                *measurements.TEXT,
                *measurements.SETTINGS,
                "seed",
                "bin",
                "label",
                "n",
                "trainings",
            }
            if of_data and table[column].dtype.kind == "f":
                table[column] *= share
            elif of_data and table[column].dtype.kind == "i":
                table[column] -= table[column] > 20
        table.to_csv(path, index=False)
    summary = json.loads((base / "evaluate/summary.json").read_text(encoding="utf-8"))
    found = {"arm": "eps-1.06", "epsilon": 1.06, "margin": 0.02, "reference": "eps-inf"}
    files.write_json(base / "evaluate/summary.json", summary | {"noninferior": found, "images": 3998, "patients": 1699})


def _counted(base: Path, *, part: str, by: int) -> None:
    balance = pd.read_csv(base / "split/private/balance.csv")
    mine = (balance["split"] == part) & (balance["patients"] > by)
    balance.loc[mine, "patients"] -= by
    balance.loc[mine, "images"] -= 2 * by
    balance.to_csv(base / "split/private/balance.csv", index=False)
    files.write_text(base / "ingest/private/refused.csv", "reason,count\nmissing_file,12\nunknown_label,13\n")
    (shard,) = (base / "prepare/private").glob("*.safetensors")
    prepared = shards.open_shards([shard])
    kept = list(range(len(prepared) - 1))
    pixels, ids = prepared.take(kept), [prepared.image_ids[row] for row in kept]
    refused = {reason: count + 10 for reason, count in prepared.refused.items()}
    shards.write_shard(shard, pixels=pixels, image_ids=ids, refused=refused)


def moved(before: Numbers, after: Numbers) -> Iterator[tuple[str, Place]]:
    """Kind and place of each number that differs, or that is on one page alone."""
    for place in before.keys() | after.keys():
        if before.get(place) != after.get(place):
            for kind in {page[place][0] for page in (before, after) if place in page}:
                yield kind, place


@pytest.mark.parametrize("internal", [False, True], ids=["leaves", "stays"])
def test_kinds_keep_their_promise(built: tree.Tree, tmp_path: Path, internal: bool) -> None:
    before, tested, trained = (
        numbers(built, tmp_path / name, change=change, internal=internal)
        for name, change in (("as", None), ("tested", one_test_patient_less), ("trained", one_training_patient_less))
    )
    assert {kind for kind, _ in before.values()} == {"public", "suppressed", "epsilon"}
    of_tested, of_trained = list(moved(before, tested)), list(moved(before, trained))
    assert [place for kind, place in of_tested if kind != "suppressed"] == []
    assert [place for kind, place in of_trained if kind == "public"] == []
    hashes = {place[0].split("/")[2] for kind, place in of_trained if kind == "epsilon"}
    assert hashes == {"eps-0.29", "eps-1.06"}
    folders = {place[0].split("/")[1] for _, place in of_tested}
    assert folders == {"evaluate", "split", "ingest", "prepare"}
    assert {"metrics.csv", "differences.csv", "significance.csv", "thresholds.csv", "validation.csv"} <= {
        place[0].rpartition("/")[2] for _, place in of_tested
    }


def test_what_has_no_private_cohort_is_all_public(tmp_path: Path) -> None:
    drawn = tree.build(tmp_path / "drawn", budgets="0.29, inf", groups=GROUPS)
    found = numbers(drawn, tmp_path / "copy", change=None, internal=False)
    assert len(found) > 500
    assert {kind for kind, _ in found.values()} == {"public"}
