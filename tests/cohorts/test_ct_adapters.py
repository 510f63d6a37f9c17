"""The layouts of CT: one table of any cohort, PANORAMA, and the decathlon's masses beside NIH's controls."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from privrad import config
from privrad.cohorts import split
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import (
    KEY,
    PANORAMA_LABELS,
    PDAC_LABELS,
    Outputs,
    cohort,
    ingest_pdac,
    panorama_row,
    pdac_row,
    run_ingest,
    write_masses,
    write_panorama,
    write_pdac,
    write_series,
)


def parts_of(out: Outputs, *, by: config.Split, finding: str) -> pd.Series:
    places: dict[str, Any] = {"assignment": out.folder / "assignment.parquet", "balance": out.folder / "balance.csv"}
    split.run(by, findings=[finding], manifest=out.places["manifest"], key=KEY, **places)
    return pd.read_parquet(places["assignment"]).set_index("patient_id")["split"]


# One table of scans


def test_a_scan_is_a_volume_a_folder_of_slices_or_one_of_several_series(tmp_path: Path) -> None:
    rows = [
        pdac_row("scans/a.nii.gz", "a", pdac="yes", age="071Y", sex="M"),
        pdac_row("scans/b/", "b", pdac="0"),
        pdac_row("./scans//c/series1.dcm", "c", pdac="Positive"),
        pdac_row("scans/c/series2.dcm", "c", pdac="FALSE", split="val"),
    ]
    out = ingest_pdac(tmp_path, rows)
    assert out.refused == {}
    assert out.images["pdac"].to_dict() == {
        "scans/a.nii.gz": 1,
        "scans/b": 0,
        "scans/c/series1.dcm": 1,
        "scans/c/series2.dcm": 0,
    }
    first = out.images.loc["scans/a.nii.gz"]
    assert (first["age"], first["sex"], first["view"], first["source_split"]) == (71, "M", "", "train")
    assert (first["source_patient"], first["source_study"]) == ("a", "study of scans/a.nii.gz")
    assert out.images["bedside"].isna().all()
    assert list(out.images["patient_id"]).count(out.images.loc["scans/c/series1.dcm", "patient_id"]) == 2


def test_each_refusal_of_a_scan_has_its_reason(tmp_path: Path) -> None:
    rows = [
        pdac_row("fine.nii", "p1"),
        pdac_row("fine.nii", "p2"),
        pdac_row("series", "p3"),
        pdac_row("series/1.dcm", "p4"),
        pdac_row("word.nii", "p5", pdac="maybe"),
        pdac_row("graded.nii", "p6", pdac="2"),
        pdac_row("blank.nii", "p7", pdac=""),
        pdac_row("nobody.nii", ""),
        pdac_row("", "p9"),
        pdac_row("he.nii", "p10", sex="M"),
        pdac_row("she.nii", "p10", sex="F"),
        pdac_row("old.nii", "p11", age="121"),
        pdac_row("sex.nii", "p12", sex="X"),
        pdac_row("fold.nii", "p13", split="fold 2"),
        pdac_row("../beside.nii", "p14"),
        pdac_row("/beside.nii", "p15"),
        pdac_row("absent.nii", "p16"),
        pdac_row("Fine.nii", "p17"),
        pdac_row("empty", "p18"),
    ]
    root = write_pdac(tmp_path / "pdac", rows)
    (root / "absent.nii").unlink()
    (root / "Fine.nii").unlink()
    (root / "empty").unlink()
    (root / "empty").mkdir()
    (tmp_path / "beside.nii").touch()
    out = run_ingest(cohort("pdac", root, PDAC_LABELS), tmp_path / "out")
    assert list(out.images.index) == ["fine.nii", "series"]
    assert out.images["source_patient"].to_dict() == {"fine.nii": "p1", "series": "p3"}
    assert sorted(out.rejects) == [
        ("../beside.nii", "outside_root"),
        ("/beside.nii", "outside_root"),
        ("Fine.nii", "missing_file"),
        ("absent.nii", "missing_file"),
        ("blank.nii", "missing_value"),
        ("empty", "missing_file"),
        ("fine.nii", "duplicate_image"),
        ("fold.nii", "unknown_split"),
        ("graded.nii", "unknown_label"),
        ("he.nii", "patient_with_two_sexes"),
        ("nobody.nii", "missing_value"),
        ("old.nii", "implausible_age"),
        ("pdac.csv line 10", "missing_value"),
        ("series/1.dcm", "duplicate_image"),
        ("sex.nii", "unknown_sex"),
        ("she.nii", "patient_with_two_sexes"),
        ("word.nii", "unknown_label"),
    ]
    assert sum(out.refused.values()) + len(out.images) == len(rows)


def test_a_series_stands_for_one_scan_whatever_its_slices_and_links_are_called(tmp_path: Path) -> None:
    root = tmp_path / "pdac"
    (root / "scans").mkdir(parents=True)
    one, two = (write_series(root / "scans", patient=patient) for patient in ("P1", "P2"))
    (root / "a.nii.gz").write_bytes(b"\x1f\x8b one volume")
    (root / "b.nii.gz").symlink_to("a.nii.gz")
    (root / "other").symlink_to("scans")
    (root / "not_dicom.dcm").write_bytes(b"neither")
    (root / "scans/cut.dcm").write_bytes((root / "scans" / one[0]).read_bytes()[:200])
    taken = ["a.nii.gz", f"scans/{one[3]}", f"other/{two[0]}", "not_dicom.dcm", "scans/cut.dcm"]
    again = ["b.nii.gz", f"scans/{one[5]}", f"scans/{two[1]}"]
    rows = [pdac_row(scan, f"patient of {scan}") for scan in (*taken, *again)]
    faulty = pdac_row(f"scans/{one[7]}", "first", pdac="unread")
    pd.DataFrame([faulty, *rows]).to_csv(root / "pdac.csv", index=False)
    out = run_ingest(cohort("pdac", root, PDAC_LABELS), tmp_path / "out")
    assert set(out.images.index) == set(taken)
    assert set(out.rejects) == {(faulty["scan"], "unknown_label"), *((scan, "duplicate_image") for scan in again)}


def test_links_out_of_the_cohort_are_refused_for_folders_and_slices_too(tmp_path: Path) -> None:
    names = ("true", "inside", "folder", "slice", "broken", "volume.nii")
    root = write_pdac(tmp_path / "pdac", [pdac_row(name, name) for name in names])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.dcm").touch()
    for name in names:
        (root / name).unlink()
    for name in ("true", "slice"):
        (root / name).mkdir()
        (root / name / "1.dcm").touch()
    shutil.copytree(root / "true", root / "named by nobody else")
    (root / "inside").symlink_to(root / "named by nobody else")
    (root / "folder").symlink_to(elsewhere)
    (root / "slice/2.dcm").symlink_to(elsewhere / "1.dcm")
    (root / "broken").symlink_to(root / "nowhere")
    (root / "volume.nii").symlink_to(elsewhere / "1.dcm")
    out = run_ingest(cohort("pdac", root, PDAC_LABELS), tmp_path / "out")
    assert list(out.images.index) == ["inside", "true"]
    assert sorted(out.rejects) == [
        ("broken", "missing_file"),
        ("folder", "outside_root"),
        ("slice", "outside_root"),
        ("volume.nii", "outside_root"),
    ]


def test_a_table_of_scans_may_have_other_names_and_little_else_than_scan_and_patient(tmp_path: Path) -> None:
    (tmp_path / "1.nii").touch()
    pd.DataFrame([{"file": "1.nii", "pid": "7", "cancer": "true"}]).to_csv(tmp_path / "ct.csv", index=False)
    columns = {"table": "ct.csv", "scan": "file", "patient_id": "pid"} | dict.fromkeys(
        ("study_id", "age", "sex"), "none"
    )
    labels = {"pdac": "cancer"}
    image = run_ingest(cohort("pdac", tmp_path, labels, columns), tmp_path / "out").images.loc["1.nii"]
    assert (image["source_patient"], image["source_study"], image["sex"], image["pdac"]) == ("7", "1.nii", "U", 1)
    assert pd.isna(image["age"])
    with pytest.raises(CohortError, match=r"lacks column age; it has file, pid, cancer.*declared as none"):
        run_ingest(cohort("pdac", tmp_path, labels, columns | {"age": "age"}), tmp_path / "out")
    with pytest.raises(CohortError, match=r"columns.patient_id must name a column"):
        run_ingest(cohort("pdac", tmp_path, labels, columns | {"patient_id": "none"}), tmp_path / "out")


def test_the_split_of_scans_comes_from_the_table(tmp_path: Path) -> None:
    words = {"a": "train", "b": "validation", "c": "test", "d": "train"}
    out = ingest_pdac(tmp_path, [pdac_row(f"{name}.nii", name, split=word) for name, word in words.items()])
    parts = parts_of(out, by=config.Split(by="table"), finding="pdac")
    patients = out.images.set_index("source_patient")["patient_id"]
    assert {name: parts[patients[name]] for name in words} == words


def test_the_guides_block_of_ct_reads_a_table_with_other_names(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/add-a-cohort.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(text)["private"] for text in re.findall(r"```yaml\n(.*?)```", guide, re.S)]
    (printed,) = [block for block in blocks if block["layout"] == "pdac"]
    row = {"series_folder": "s1", "pid": "7", "accession": "A1", "age": "64", "sex": "M", "carcinoma": "yes"}
    pd.DataFrame([row]).to_csv(tmp_path / "pancreas.csv", index=False)
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/1.dcm").touch()
    image = run_ingest(config.Cohort.model_validate(printed | {"root": tmp_path}), tmp_path / "out").images.loc["s1"]
    assert (image["source_study"], image["sex"], image["pdac"]) == ("A1", "M", 1)


# PANORAMA


def test_the_published_table_of_panorama(tmp_path: Path, real_data: Path) -> None:
    source = real_data / "tables/panorama_clinical_information_part.csv"
    root = tmp_path / "panorama"
    (root / "images").mkdir(parents=True)
    (root / "clinical_information.csv").write_bytes(source.read_bytes())
    studies = pd.read_csv(source, dtype=str)["PANORAMA_study_id"]
    for number, study in enumerate(studies):
        folder = root / ("", "images", "batch_1", "batch_2/images")[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{study}_0000.nii.gz").touch()
    out = run_ingest(cohort("panorama", root, PANORAMA_LABELS), tmp_path / "out")
    assert out.refused == {}
    assert (len(out.images), out.images["patient_id"].nunique()) == (1289, 1284)
    assert out.images["pdac"].sum() == 376
    assert out.images["sex"].value_counts().to_dict() == {"M": 588, "F": 506, "U": 195}
    assert out.images["age"].isna().sum() == 195
    assert out.images["age"].between(18, 100).sum() == 1094
    left = cohort("panorama", root, PANORAMA_LABELS, {"left_out": "MSD_dataset, NIH_dataset"})
    alone = run_ingest(left, tmp_path / "alone")
    assert alone.refused == {"left_out": 115 + 80}
    assert alone.rejects == []
    assert (len(alone.images), alone.images["pdac"].sum()) == (1094, 376 - 53)
    assert set(alone.images["sex"]) == {"F", "M"}
    assert set(parts_of(alone, by=config.Split(), finding="pdac")) == {"train", "validation", "test"}


def test_panorama_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    rows = [
        panorama_row("1_00001"),
        panorama_row("1_00002", patient_sex="M"),
        panorama_row("2_00001", label="PDAC", scanner="0"),
        panorama_row("3_00001", label="pdac"),
        panorama_row("4_00001", label=""),
        panorama_row("5_00001", level="MSD_dataset", label="", patient_age="", patient_sex=""),
        panorama_row("6_00001", patient_age="", patient_sex="", scanner=""),
        panorama_row("2_00001", label="non-PDAC"),
        panorama_row("8_00001"),
        panorama_row("../../9_00001"),
    ]
    root = write_panorama(tmp_path / "panorama", rows)
    (root / "images/8_00001_0000.nii.gz").rename(root / "images/._8_00001_0000.nii.gz")
    (root / "images/8_00001.nii.gz").touch()  # a label map has this name
    left = cohort("panorama", root, PANORAMA_LABELS, {"left_out": "MSD_dataset"})
    out = run_ingest(left, tmp_path / "out")
    assert out.images["pdac"].to_dict() == {"images/2_00001_0000.nii.gz": 1, "images/6_00001_0000.nii.gz": 0}
    assert out.rejects == [
        ("images/1_00001_0000.nii.gz", "patient_with_two_sexes"),
        ("images/1_00002_0000.nii.gz", "patient_with_two_sexes"),
        ("images/3_00001_0000.nii.gz", "unknown_label"),
        ("images/4_00001_0000.nii.gz", "missing_value"),
        ("images/2_00001_0000.nii.gz", "duplicate_image"),
        ("images/8_00001_0000.nii.gz", "missing_file"),
        ("../9_00001_0000.nii.gz", "outside_root"),
    ]
    assert out.refused["left_out"] == 1
    assert sum(out.refused.values()) == len(out.rejects) + 1


@pytest.mark.parametrize(
    ("labels", "columns", "told"),
    [
        ({"pdac": "pdac"}, {}, r"labels.pdac = 'pdac' is no label of this cohort; it has PDAC and non-PDAC"),
        (
            {"pdac": "PDAC"},
            {"left_out": "MSD"},
            r"left_out names MSD, which column level does not hold; it holds NIH",
        ),
        ({"pdac": "PDAC"}, {"left_out": "MSD", "level": "none"}, r"does not hold; it holds nothing"),
        ({"pdac": "PDAC"}, {"scanner": "scanner"}, r"columns has scanner; layout panorama takes age, label, left_out"),
        ({"pdac": "PDAC"}, {"label": "none"}, r"columns.label must name a column"),
        ({"pdac": "PDAC"}, {"table": "clinical.csv"}, r"clinical.csv is missing.*clinical.xlsx is a spreadsheet; save"),
    ],
)
def test_a_study_that_does_not_fit_panorama_is_told(
    tmp_path: Path, labels: dict[str, str], columns: dict[str, str], told: str
) -> None:
    root = write_panorama(tmp_path, [panorama_row("1_00001", level="NIH_dataset")])
    (root / "clinical.xlsx").touch()
    with pytest.raises(CohortError, match=told):
        run_ingest(cohort("panorama", root, labels, columns), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_scanner_alone_tells_much_of_panoramas_label(real_data: Path) -> None:
    """The counts that docs/ct.md warns with."""
    table = pd.read_csv(real_data / "tables/panorama_clinical_information_part.csv", dtype=str)
    table = table[~table["level"].isin(["MSD_dataset", "NIH_dataset"])]
    counts = table.assign(pdac=table["label"] == "PDAC").groupby("scanner")["pdac"].agg(["sum", "size"])
    assert counts.loc[["Philips", "SIEMENS", "TOSHIBA"]].to_numpy().tolist() == [[135, 184], [99, 523], [71, 357]]


# The decathlon's masses and NIH's controls


def masses(root: Path) -> config.Cohort:
    return cohort("msd_pancreas", root, {"tumour": "mass"})


@pytest.mark.parametrize("home", ["Pancreas-CT", "manifest-1599750808610/Pancreas-CT"])
def test_masses_are_cases_and_series_of_the_other_collection_controls(tmp_path: Path, home: str) -> None:
    series = f"{home}/PANCREAS_0001/11-24-2015-PANCREAS0001-Pancreas-18957/Pancreas-99667"
    root = write_masses(tmp_path / "masses", controls=[f"{series}/1-001.dcm", f"{series}/1-002.dcm"])
    (root / home / "PANCREAS_0001/.cache/._Pancreas").mkdir(parents=True)
    (root / home / "PANCREAS_0025").mkdir()  # empty, as it is published today
    (root / home / "PANCREAS_0070/a/b").mkdir(parents=True)
    (root / home / "PANCREAS_0070/a/b/1.dcm").touch()  # from an older download
    (root / home / "PANCREAS_0003").mkdir()
    (root / "Task07_Pancreas/imagesTs/pancreas_004.nii.gz").unlink()
    (root / "Task07_Pancreas/imagesTr/._pancreas_001.nii.gz").touch()
    out = run_ingest(masses(root), tmp_path / "out")
    cases = [f"Task07_Pancreas/{name}.nii.gz" for name in ("imagesTr/pancreas_001", "imagesTs/pancreas_002")]
    assert out.images["tumour"].to_dict() == dict.fromkeys(cases, 1) | {series: 0}
    assert out.images["source_patient"].to_dict() == {
        cases[0]: "pancreas_001",
        cases[1]: "pancreas_002",
        series: "PANCREAS_0001",
    }
    assert set(out.images["sex"]) == {"U"}
    assert out.images["age"].isna().all()
    assert out.rejects == [
        ("Task07_Pancreas/imagesTs/pancreas_004.nii.gz", "missing_file"),
        (f"{home}/PANCREAS_0003", "missing_file"),
    ]
    assert out.refused == {"left_out": 2, "missing_file": 2}


def test_controls_may_be_volumes(tmp_path: Path) -> None:
    names = (
        "PANCREAS_0001.nii.gz",
        "image0002.nii",
        "healthy.nii.gz",
        "PANCREAS_0070.nii.gz",
        "._PANCREAS_0004.nii.gz",
    )
    root = write_masses(tmp_path / "masses", controls=[f"Pancreas-CT/data/{name}" for name in names])
    (root / "Pancreas-CT/labels").mkdir()
    (root / "Pancreas-CT/labels/label0001.nii.gz").touch()
    images = run_ingest(masses(root), tmp_path / "out").images
    controls = images.loc[images["tumour"] == 0, "source_patient"]
    assert sorted(controls) == ["PANCREAS_0001", "PANCREAS_0002", "healthy"]
    assert len(images) == 3 + len(controls)


def test_scattered_slices_of_a_control_are_its_folder_and_list_entries_count_once(tmp_path: Path) -> None:
    root = write_masses(tmp_path / "masses", controls=["Pancreas-CT/PANCREAS_0002/1-001.dcm"])
    place = root / "Task07_Pancreas/dataset.json"
    listed = json.loads(place.read_text())
    place.write_text(json.dumps(listed | {"test": [*listed["test"], listed["test"][0], "../../beside.nii.gz"]}))
    (tmp_path / "beside.nii.gz").touch()
    out = run_ingest(masses(root), tmp_path / "out")
    assert out.images.loc["Pancreas-CT/PANCREAS_0002", "tumour"] == 0
    assert out.rejects == [
        ("Task07_Pancreas/imagesTs/pancreas_002.nii.gz", "duplicate_image"),
        ("../beside.nii.gz", "outside_root"),
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (None, r"dataset.json is missing in .*unpack Task07_Pancreas.tar"),
        ("{", "not as the decathlon gives it"),
        ("[]", "not as the decathlon gives it"),
        ('{"training": [{"label": "a"}]}', "not as the decathlon gives it"),
        ('{"training": [], "test": [{"image": "a"}]}', "not as the decathlon gives it"),
        ('{"training": [], "test": "ab"}', "not as the decathlon gives it"),
        ('{"training": [], "test": []}', "lists no scan"),
    ],
)
def test_a_decathlon_without_its_list_is_told(tmp_path: Path, written: str | None, told: str) -> None:
    root = write_masses(tmp_path / "masses", controls=["Pancreas-CT/data/PANCREAS_0001.nii.gz"])
    place = root / "Task07_Pancreas/dataset.json"
    place.unlink() if written is None else place.write_text(written)
    with pytest.raises(CohortError, match=told):
        run_ingest(masses(root), tmp_path / "out")


def test_cases_without_controls_and_another_label_are_errors(tmp_path: Path) -> None:
    root = write_masses(tmp_path / "masses", controls=[])
    with pytest.raises(CohortError, match="has no control: put NIH Pancreas-CT there"):
        run_ingest(masses(root), tmp_path / "out")
    with pytest.raises(CohortError, match=r"labels.pdac = 'PDAC' is no label of this cohort; it has mass alone"):
        run_ingest(cohort("msd_pancreas", root, {"pdac": "PDAC"}), tmp_path / "out")
    with pytest.raises(CohortError, match="columns has age; layout msd_pancreas takes table"):
        run_ingest(cohort("msd_pancreas", root, {"tumour": "mass"}, {"age": "age"}), tmp_path / "out")
