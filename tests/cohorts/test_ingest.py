"""Ingest: what every cohort has in common, shown on the layout with one table."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privrad.cohorts import identity, locate, rows
from privrad.cohorts import manifest as manifests
from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import KEY, UKA_LABELS, Outputs, cohort, ingest_uka, run_ingest, uka_row, write_uka


def test_the_manifest_holds_keyed_ids_and_the_paths_stand_apart(tmp_path: Path) -> None:
    out = ingest_uka(tmp_path, [uka_row("a/1.dcm", "Anna", heart="enlarged"), uka_row("b/1.dcm", "Bert", sex="M")])
    manifest = pd.read_parquet(out.places["manifest"])
    fixed = ["image_id", "patient_id", "study_id", "view", "age", "sex", "bedside", "site", "source_split"]
    assert list(manifest.columns) == [*fixed, *UKA_LABELS]
    assert manifest["image_id"].is_monotonic_increasing
    assert manifest.dtypes[["age", "bedside", "cardiomegaly"]].astype(str).to_list() == ["float64", "boolean", "int8"]
    first = out.images.loc["a/1.dcm"]
    assert first["image_id"] == identity.keyed_id(KEY, "image", "a/1.dcm")
    assert first["patient_id"] == identity.keyed_id(KEY, "patient", "Anna")
    assert first["study_id"] == identity.keyed_id(KEY, "study", "study of a/1.dcm")
    assert (first["source_patient"], first["source_study"]) == ("Anna", "study of a/1.dcm")
    assert (first["age"], first["sex"], first["view"], first["bedside"], first["site"]) == (64, "F", "AP", True, "here")
    assert (first["cardiomegaly"], first["congestion"]) == (1, 0)
    public = out.places["manifest"].read_bytes() + out.places["refused"].read_bytes()
    assert b"Anna" not in public
    assert b".dcm" not in public


def test_the_same_cohort_gives_the_same_bytes(tmp_path: Path) -> None:
    table = [uka_row(f"{number}.dcm", f"p{number}") for number in range(9)]
    digests = [
        {role: hashlib.sha256(path.read_bytes()).hexdigest() for role, path in out.places.items()}
        for out in (ingest_uka(tmp_path / "one", table), ingest_uka(tmp_path / "two", table))
    ]
    assert digests[0] == digests[1]


def test_each_fault_is_a_reject_with_file_reason_and_remedy(tmp_path: Path) -> None:
    table = [
        uka_row("fine.dcm", "p1"),
        uka_row("absent.dcm", "p2"),
        uka_row("grade.dcm", "p3", heart="gigantic"),
        uka_row("blank.dcm", "p4", heart=""),
        uka_row("nobody.dcm", ""),
        uka_row("", "p5"),
        uka_row("old.dcm", "p6", age="412"),
        uka_row("unborn.dcm", "p7", age="-1"),
        uka_row("word.dcm", "p8", age="old"),
        uka_row("sex.dcm", "p9", sex="2"),
        uka_row("bed.dcm", "p10", bedside="perhaps"),
        uka_row("both1.dcm", "p11", sex="F"),
        uka_row("both2.dcm", "p11", sex="M"),
        uka_row("twice.dcm", "p12"),
        uka_row("./twice.dcm", "p13"),
        uka_row("../outside.dcm", "p14"),
        uka_row("/outside.dcm", "p15"),
        uka_row("side.dcm", "p16", view="LATERAL"),
    ]
    (tmp_path / "uka").mkdir()
    (tmp_path / "outside.dcm").touch()
    out = ingest_uka(tmp_path, table, absent="absent.dcm")
    assert list(out.images.index) == ["fine.dcm", "twice.dcm"]
    assert out.images.loc["twice.dcm", "source_patient"] == "p12"
    assert sorted(out.rejects) == [
        ("../outside.dcm", "outside_root"),
        ("/outside.dcm", "outside_root"),
        ("absent.dcm", "missing_file"),
        ("bed.dcm", "unknown_bedside"),
        ("blank.dcm", "missing_value"),
        ("both1.dcm", "patient_with_two_sexes"),
        ("both2.dcm", "patient_with_two_sexes"),
        ("grade.dcm", "unknown_label"),
        ("nobody.dcm", "missing_value"),
        ("old.dcm", "implausible_age"),
        ("sex.dcm", "unknown_sex"),
        ("twice.dcm", "duplicate_image"),
        ("uka_cxr.csv line 7", "missing_value"),
        ("unborn.dcm", "implausible_age"),
        ("word.dcm", "implausible_age"),
    ]
    assert out.refused.pop("not_frontal") == 1
    assert sum(out.refused.values()) + len(out.images) == len(table)


def test_links_that_leave_the_cohort_are_refused_and_those_inside_are_not(tmp_path: Path) -> None:
    root = write_uka(
        tmp_path / "uka", [uka_row(f"{name}/1.dcm", name) for name in ("real", "inside", "outside", "file")]
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.dcm").touch()
    for name, target in (("inside", root / "real"), ("outside", elsewhere)):
        (root / name / "1.dcm").unlink()
        (root / name).rmdir()
        (root / name).symlink_to(target)
    (root / "file/1.dcm").unlink()
    (root / "file/1.dcm").symlink_to(elsewhere / "1.dcm")
    out = run_ingest(cohort("uka_cxr", root, UKA_LABELS), tmp_path / "out")
    assert list(out.images.index) == ["inside/1.dcm", "real/1.dcm"]
    assert sorted(out.rejects) == [("file/1.dcm", "outside_root"), ("outside/1.dcm", "outside_root")]


def test_a_link_is_followed_wherever_in_the_path_it_stands(tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row(f"{name}/a/b/1.dcm", name) for name in ("in", "loop", "out", "real")])
    (tmp_path / "uka-elsewhere").mkdir()
    (root / "out/a").rename(tmp_path / "uka-elsewhere/a")
    (root / "out/a").symlink_to("../../uka-elsewhere/a")
    for name, target in (("in", "real"), ("loop", "loop")):
        shutil.rmtree(root / name)
        (root / name).symlink_to(target)
    (tmp_path / "link to uka").symlink_to("uka")
    out = run_ingest(cohort("uka_cxr", tmp_path / "link to uka", UKA_LABELS), tmp_path / "out")
    assert list(out.images.index) == ["in/a/b/1.dcm", "real/a/b/1.dcm"]
    assert sorted(out.rejects) == [("loop/a/b/1.dcm", "missing_file"), ("out/a/b/1.dcm", "outside_root")]


def test_a_folder_or_a_broken_link_is_a_missing_file(tmp_path: Path) -> None:
    root = write_uka(
        tmp_path / "uka", [uka_row("fine.dcm", "p1"), uka_row("folder", "p2"), uka_row("broken.dcm", "p3")]
    )
    (root / "folder").unlink()
    (root / "folder").mkdir()
    (root / "broken.dcm").unlink()
    (root / "broken.dcm").symlink_to("nowhere.dcm")
    out = run_ingest(cohort("uka_cxr", root, UKA_LABELS), tmp_path / "out")
    assert sorted(out.rejects) == [("broken.dcm", "missing_file"), ("folder", "missing_file")]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("image;patient_id;study_id\n1;2;3\n", r"lacks column image.*it has image;patient_id.*by commas"),
        ("", "lacks column image.*it has nothing"),
        (
            "image,patient_id,study_id,age,sex,view,bedside,heart\n1,2,3,4,5,6,7,8\n",
            "table uka_cxr.csv lacks column congest",
        ),
        ("image,image,patient_id,study_id,age,sex,view,bedside,heart,congestion\n", "more than one column image"),
        ("image,patient_id,study_id,age,sex,view,bedside,heart,congestion\n", "a header but no row"),
        ("image,patient_id,study_id,age,sex,view,bedside,heart,congestion\n1\n" + "1," * 30 + "\n", "no readable CSV"),
        (b"image,patient_id,study_id,age,sex,view,bedside,heart,congestion\n\xfc,1,,,,,,,\n", "not UTF-8"),
        (b"\x1f\x8b\x08\x00", "not UTF-8"),
    ],
)
def test_an_unusable_table_is_an_error_before_any_file_is_written(
    tmp_path: Path, written: str | bytes, told: str
) -> None:
    root = tmp_path / "uka"
    root.mkdir()
    (root / "uka_cxr.csv").write_bytes(written if isinstance(written, bytes) else written.encode())
    with pytest.raises(CohortError, match=told):
        run_ingest(cohort("uka_cxr", root, UKA_LABELS), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_or_damaged_compressed_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.csv").touch()
    chosen = cohort("uka_cxr", tmp_path, UKA_LABELS, {"table": "images.csv.gz"})
    with pytest.raises(CohortError, match=r"table images.csv.gz is missing.*there is other.csv"):
        run_ingest(chosen, tmp_path / "out")
    (tmp_path / "images.csv.gz").write_bytes(b"not gzip at all")
    with pytest.raises(CohortError, match=r"table images.csv.gz is no readable CSV"):
        run_ingest(chosen, tmp_path / "out")
    with pytest.raises(CohortError, match=r"folder .* is missing"):
        run_ingest(cohort("uka_cxr", tmp_path / "nowhere", UKA_LABELS), tmp_path / "out")


def test_a_cohort_without_any_usable_image_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"no image is left.*1 implausible_age: Write.*1 missing_file: Put"):
        ingest_uka(tmp_path, [uka_row("a.dcm", "p1"), uka_row("b.dcm", "p2", age="200")], absent="a.dcm")
    assert not (tmp_path / "out").exists()


def test_a_finding_may_not_take_the_name_of_a_manifest_column(tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row("a.dcm", "p1")])
    with pytest.raises(CohortError, match="finding age has a name that privrad's tables need"):
        run_ingest(cohort("uka_cxr", root, {"age": "heart"}), tmp_path / "out")


def test_two_findings_may_share_a_column_and_the_bom_of_a_spreadsheet_is_no_part_of_a_name(tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row("a.dcm", "p1", heart="Massively Enlarged ")])
    table = root / "uka_cxr.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    out = run_ingest(cohort("uka_cxr", root, {"left": "heart", "right": "heart"}), tmp_path / "out")
    assert out.images[["left", "right"]].to_numpy().tolist() == [[1, 1]]


@pytest.mark.parametrize(
    "change",
    [
        {"sex": "X"},
        {"age": 130.0},
        {"view": "LL"},
        {"patient_id": "Anna"},
        {"cardiomegaly": np.int8(2)},
        {"source_split": "dev"},
        {"extra": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_breaks_its_schema_is_not_written(tmp_path: Path, change: dict[str, Any]) -> None:
    out = ingest_uka(tmp_path, [uka_row("a.dcm", "p1")])
    broken = pd.read_parquet(out.places["manifest"]).assign(**change).astype({"cardiomegaly": "int8"})
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)):
        manifests.write(tmp_path / "broken.parquet", broken, findings=list(UKA_LABELS))
    assert not (tmp_path / "broken.parquet").exists()


def test_a_manifest_of_other_findings_is_refused(tmp_path: Path) -> None:
    out = ingest_uka(tmp_path, [uka_row("a.dcm", "p1")])
    with pytest.raises(CohortError, match="Run ingest again"):
        manifests.read(out.places["manifest"], findings=["cardiomegaly"])


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58),
        ("58.5", 58.5),
        ("058Y", 58),
        ("018m", 1.5),
        ("50+", 50),
        ("0", 0),
        ("120", 120),
        ("", None),
        ("unknown", None),
        ("NaN", None),
    ],
)
def test_ages_are_read_as_they_are_written(text: str, years: float | None) -> None:
    value, fault = rows.ages(pd.Series([text], dtype="str"))
    assert not fault.any()
    assert pd.isna(value[0]) if years is None else value[0] == pytest.approx(years)


@settings(deadline=None)
@given(st.text(max_size=6))
def test_an_age_is_a_plausible_number_or_unknown_or_a_fault(text: str) -> None:
    value, fault = rows.ages(pd.Series([text.strip()], dtype="str"))
    known = not pd.isna(value[0]) and 0 <= value[0] <= 120
    assert bool(fault[0]) != (known or text.strip().lower() in rows.UNKNOWN_AGES)


def test_every_reason_has_a_remedy() -> None:
    assert set(manifests.REMEDIES) >= {
        "missing_file",
        "outside_root",
        "unknown_label",
        "missing_value",
        "patient_with_two_sexes",
        "duplicate_image",
        "implausible_age",
        "not_frontal",
    }
    assert Outputs(Path("x")).places.keys() == {"manifest", "paths", "refused", "rejects"}


@pytest.mark.parametrize("finding", ["all", "mean"])
def test_a_finding_may_not_take_a_name_that_results_need(finding: str, tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row("a.dcm", "p1")])
    with pytest.raises(CohortError, match=f"finding {finding} has a name that privrad's tables need"):
        run_ingest(cohort("uka_cxr", root, {finding: "heart"}), tmp_path / "out")


def test_plain_paths_and_rejects_are_their_owners_alone(tmp_path: Path) -> None:
    out = ingest_uka(tmp_path, [uka_row("a.dcm", "p1"), uka_row("b.dcm", "p2", age="999")])
    modes = {role: path.stat().st_mode & 0o777 for role, path in out.places.items()}
    assert modes == {"manifest": 0o644, "refused": 0o644, "paths": 0o600, "rejects": 0o600}


def test_an_open_quote_never_swallows_a_row(tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row(f"{number}.dcm", f"p{number}") for number in range(5)])
    table = root / "uka_cxr.csv"
    table.write_text(table.read_text().replace(",p2,", ',"p2,').replace(",p3,", ',"p3,'))
    with pytest.raises(CohortError, match="line break within column patient_id, in row 3 below the header"):
        run_ingest(cohort("uka_cxr", root, UKA_LABELS), tmp_path / "out")


def test_a_damaged_table_costs_one_line(tmp_path: Path) -> None:
    root = write_uka(tmp_path / "uka", [uka_row("a.dcm", "p1")])
    with (root / "uka_cxr.csv").open("a") as stream:
        stream.write("," * 30 + "\n")
    with pytest.raises(CohortError, match="no readable CSV") as caught:
        run_ingest(cohort("uka_cxr", root, UKA_LABELS), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_images_with_other_ids_than_the_manifests_are_not_located(tmp_path: Path) -> None:
    chosen = cohort("uka_cxr", tmp_path, UKA_LABELS)
    write_uka(tmp_path, [uka_row("1.dcm", "Anna"), uka_row("2.dcm", "Berta")])
    made = run_ingest(chosen, tmp_path / "out")
    read: dict[str, Any] = {"findings": list(UKA_LABELS), "root": tmp_path, "manifest": made.places["manifest"]}
    with pytest.raises(CohortError, match="set PRIVRAD_KEYS to the folder of keys that it was made with"):
        locate.run(chosen, **read, key=bytes(32), out=tmp_path / "other.parquet")
    assert not (tmp_path / "other.parquet").exists()
