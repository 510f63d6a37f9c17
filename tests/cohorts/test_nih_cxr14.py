"""NIH ChestX-ray14: the published headers, the official split, absurd ages, and 67,615 real rows at once."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from privrad.cohorts import ingest
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import KEY, Outputs, cohort, run_ingest

PLAIN = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
SPLIT_UP = ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
SIZES = ",2682,2749,0.143,0.143"
EDEMA = {"edema": "Edema"}
LINES = [
    "00000001_000.png,Edema,0,1,058Y,M,PA",
    "00000002_000.png,No Finding,0,2,011M,F,AP",
    "00000003_000.png,No Finding,0,3,414Y,F,PA",
    "00000004_000.png,No Finding,0,4,413,M,PA",
    "00000005_000.png,No Finding,0,5,64,M,LL",
    "00000006_000.png,No Finding,0,6,64,X,PA",
]


def write_nih(root: Path, header: str, lines: list[str], table: str = "Data_Entry_2017.csv") -> Path:
    """The table, and an empty picture for each line in `images`."""
    (root / "images").mkdir(parents=True)
    (root / table).write_text("\n".join([header, *lines]) + "\n")
    for line in lines:
        (root / "images" / line.partition(",")[0]).touch()
    return root


@pytest.mark.parametrize(
    ("header", "ending", "table"),
    [
        (PLAIN + SPLIT_UP + ",", SIZES + ",", "Data_Entry_2017.csv"),
        (PLAIN + SPLIT_UP, SIZES, "Data_Entry_2017_v2020.csv"),
        (PLAIN + ',"OriginalImage[Width,Height]"', ',"2682,2749"', "Data_Entry_2017_v2020.csv"),
        (PLAIN, "", "Data_Entry_2017_v2020.csv"),
    ],
)
def test_every_published_header_is_read_and_no_age_of_four_centuries(
    tmp_path: Path, header: str, ending: str, table: str
) -> None:
    root = write_nih(tmp_path / "nih", header, [line + ending for line in LINES], table)
    out = run_ingest(cohort("nih_cxr14", root, EDEMA), tmp_path / "out")
    assert list(out.images.index) == ["images/00000001_000.png", "images/00000002_000.png"]
    assert out.images["age"].tolist() == [58, pytest.approx(11 / 12)]
    assert out.images["edema"].tolist() == [1, 0]
    assert set(out.images["source_split"]) == {""}
    assert out.rejects == [
        ("images/00000003_000.png", "implausible_age"),
        ("images/00000004_000.png", "implausible_age"),
        ("images/00000006_000.png", "unknown_sex"),
    ]
    assert out.refused == {"implausible_age": 2, "not_frontal": 1, "unknown_sex": 1}


def test_the_official_lists_are_the_split_and_must_not_contradict_each_other(tmp_path: Path) -> None:
    lines = [f"0000000{number}_000.png,No Finding,0,{number},64,M,PA" for number in (1, 2, 3)]
    root = write_nih(tmp_path / "nih", PLAIN, lines)
    (root / "train_val_list.txt").write_bytes(b"00000001_000.png\r\n")
    with pytest.raises(CohortError, match=r"has train_val_list.txt, one of train_val_list.txt and test_list.txt"):
        run_ingest(cohort("nih_cxr14", root, EDEMA), tmp_path / "out")
    (root / "test_list.txt").write_text("00000002_000.png")
    images = run_ingest(cohort("nih_cxr14", root, EDEMA), tmp_path / "out").images
    assert list(images["source_split"]) == ["train", "test", ""]
    (root / "test_list.txt").write_text("00000002_000.png\n00000001_000.png\n")
    with pytest.raises(CohortError, match=r"1 images stand in both train_val_list.txt and test_list.txt"):
        run_ingest(cohort("nih_cxr14", root, EDEMA), tmp_path / "out")
    (root / "test_list.txt").unlink()
    os.mkfifo(root / "test_list.txt")
    with pytest.raises(CohortError, match=r"list test_list.txt cannot be read"):
        run_ingest(cohort("nih_cxr14", root, EDEMA), tmp_path / "out")


def test_the_whole_real_table_is_taken_or_refused_row_by_row(tmp_path: Path, real_data: Path) -> None:
    source = real_data / "tables/nih_data_entry_2017_v2020_part.csv.gz"
    with gzip.open(source, mode="rt", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 67_615
    absent = {line["Image Index"] for line in lines[::1000]}
    root = tmp_path / "nih"
    write_whole(
        root, [line["Image Index"] for line in lines if line["Image Index"] not in absent], real_data / "cxr_nih"
    )
    shutil.copy(source, root / "Data_Entry_2017_v2020.csv.gz")
    tests = {line["Patient ID"] for line in lines if int(line["Patient ID"]) % 5 == 0}
    for name, wanted in (("test_list.txt", True), ("train_val_list.txt", False)):
        listed = [line["Image Index"] for line in lines if (line["Patient ID"] in tests) is wanted]
        (root / name).write_text("\n".join(listed))

    labels = {"pneumonia": "Pneumonia", "effusion": "Effusion", "hernia": "Hernia"}
    out = Outputs(tmp_path / "out")
    places = {role: place for role, place in out.places.items() if role != "paths"}
    ingest.run(cohort("nih_cxr14", root, labels), findings=list(labels), root=root, key=KEY, **places)

    reasons = Counter(reason_of(line, absent) for line in lines)
    taken = [line for line in lines if reason_of(line, absent) == ""]
    manifest = pd.read_parquet(out.places["manifest"])
    assert out.refused == {reason: count for reason, count in reasons.items() if reason}
    assert len(manifest) == reasons[""] == 67_615 - sum(out.refused.values())
    assert len(out.rejects) == sum(count for reason, count in reasons.items() if reason not in ("", "not_frontal"))
    assert manifest["patient_id"].nunique() == len({line["Patient ID"] for line in taken})
    for column, key in (("sex", "Patient Gender"), ("view", "View Position")):
        assert manifest[column].value_counts().to_dict() == Counter(line[key] for line in taken)
    assert manifest["age"].sum() == sum(int(line["Patient Age"]) for line in taken)
    for finding, name in labels.items():
        assert manifest[finding].sum() == sum(name in line["Finding Labels"].split("|") for line in taken)
    parts = Counter("test" if line["Patient ID"] in tests else "train" for line in taken)
    assert manifest["source_split"].value_counts().to_dict() == parts


def write_whole(root: Path, names: list[str], pictures: Path) -> None:
    """A link to one real picture for each name, in the twelve folders of the download."""
    real = next(iter(sorted((pictures / "images").glob("*.png"))))
    for number in range(12):
        folder = root / f"images_{number + 1:03d}/images"
        folder.mkdir(parents=True)
        mine = names[number::12]
        shutil.copy(real, folder / mine[0])
        for name in mine[1:]:
            os.link(folder / mine[0], folder / name)


def reason_of(line: dict[str, str], absent: set[str]) -> str:
    """Why a line of the table as it is published must be refused, blank where it must not be."""
    if line["View Position"] not in ("PA", "AP"):
        return "not_frontal"
    if not 0 <= int(line["Patient Age"]) <= 120:
        return "implausible_age"
    return "missing_file" if line["Image Index"] in absent else ""
