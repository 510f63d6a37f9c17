"""Open-i: pictures by the reports that name them, headings as labels, and reports that must not be read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest
from PIL import Image

from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import Outputs, cohort, run_ingest

LABELS = {"heart": "Cardiomegaly"}
LAUGHS = "".join(f'<!ENTITY {after} "{f"&{letter};" * 10}">' for letter, after in pairwise(ascii_lowercase))
BOMB = f'<!DOCTYPE eCitation [<!ENTITY a "ha">{LAUGHS}]>'


def report(
    number: int, *pictures: str, caption: str = "Xray Chest PA", major: Sequence[str] = ("normal",), more: str = ""
) -> str:
    """A report as the collection has it, less what is not read."""
    told = "".join(f"<major>{heading}</major>" for heading in major)
    shown = "".join(
        f'<parentImage id="{name}"><figureId>F{place}</figureId><caption>{caption}</caption>'
        f"<panel><url>/hadoop/storage/{name}.jpg</url></panel></parentImage>"
        for place, name in enumerate(pictures, start=1)
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><meta type="rr"/><uId id="CXR{number}"/>'
        f"<MedlineCitation><Article><Abstract><AbstractText Label='FINDINGS'>None. &#8804; 1 cm</AbstractText>"
        f"</Abstract></Article></MedlineCitation><MeSH>{told}{more}</MeSH>{shown}</eCitation>"
    )


def write(root: Path, reports: Mapping[int, str | bytes], pictures: Sequence[str], folder: str = "NLMCXR_png") -> Path:
    (root / "ecgen-radiology").mkdir(parents=True)
    (root / folder).mkdir(parents=True)
    for number, text in reports.items():
        content = text.encode() if isinstance(text, str) else text
        (root / f"ecgen-radiology/{number}.xml").write_bytes(content)
    drawn = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(drawn, format="PNG")
    for picture in pictures:
        (root / folder / f"{picture}.png").write_bytes(drawn.getvalue())
    return root


def write_projections(root: Path, lines: Sequence[str]) -> None:
    (root / "indiana_projections.csv").write_text("\n".join(["uid,filename,projection", *lines]) + "\n")


def ingest(
    root: Path, out: Path, labels: Mapping[str, str] = LABELS, columns: Mapping[str, str] | None = None
) -> Outputs:
    return run_ingest(cohort("openi", root, labels, columns), out)


@pytest.mark.parametrize("form", ["published", "kaggle"])
def test_the_table_of_projections_tells_frontal_pictures_in_either_form(tmp_path: Path, form: str) -> None:
    both = ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001")
    reports = {
        1: report(1, *both, caption="Xray Chest PA and Lateral", major=["Cardiomegaly/mild", "Aorta/tortuous"]),
        2: report(2, "CXR2_IM-0652-1001", caption="Chest, 2 views, frontal and lateral"),
        3: report(3, "CXR3_IM-0700-1001", caption="PORTABLE AP CHEST"),
        4: report(4, "CXR4_IM-0701-1001"),
        5: report(5),
    }
    names = [*both, "CXR2_IM-0652-1001", "CXR3_IM-0700-1001", "CXR4_IM-0701-1001"]
    kaggle = ["1_IM-0001-3001", "1_IM-0001-4001", "2_IM-0652-1001", "3_IM-0700-1001", "4_IM-0701-1001"]
    folder, drawn = ("NLMCXR_png", names)
    if form == "kaggle":
        folder, drawn = ("images/images_normalized", [f"{name}.dcm" for name in kaggle])
    root = write(tmp_path / "openi", reports, drawn, folder)
    views = ["Lateral", "Frontal", "Frontal", "Frontal"]
    write_projections(root, [f"{name[0]},{name}.dcm.png,{view}" for name, view in zip(kaggle, views, strict=False)])
    out = ingest(root, tmp_path / "out")
    assert list(out.images.index) == [f"{folder}/{name}.png" for name in drawn[1:4]]
    assert list(out.images["heart"]) == [1, 0, 0]
    assert list(out.images["view"]) == ["PA", "", "AP"]
    assert list(out.images["source_patient"]) == list(out.images["source_study"]) == ["CXR1", "CXR2", "CXR3"]
    assert set(out.images["sex"]) == {"U"}
    assert out.images["age"].isna().all()
    assert out.refused == {"not_frontal": 2}


def test_without_the_table_only_captions_of_one_frontal_view_tell(tmp_path: Path) -> None:
    captions = {
        1: "Chest PA",
        2: "AP chest",
        3: "Xray Chest PA and Lateral",
        4: "PA &amp; LAT",
        5: "Xray Chest",
        6: "Frontal",
    }
    reports = {n: report(n, f"CXR{n}_IM-0001-1001", caption=caption) for n, caption in captions.items()}
    reports[1] = reports[1].replace("normal", "Cardiomegaly")
    pictures = [f"CXR{number}_IM-0001-1001" for number in captions]
    root = write(tmp_path / "openi", reports, pictures)
    out = ingest(root, tmp_path / "out")
    assert out.images["source_patient"].tolist() == ["CXR1", "CXR2", "CXR6"]
    assert out.images["view"].tolist() == ["PA", "AP", ""]
    assert out.refused == {"not_frontal": 3}
    both = report(1, "CXR1_IM-0001-1001", caption="PA and lateral", major=["Cardiomegaly"])
    root = write(tmp_path / "two", {1: both}, pictures[:1])
    with pytest.raises(CohortError, match=r"has no indiana_projections.csv, and no caption tells a frontal picture"):
        ingest(root, tmp_path / "out")


def test_headings_are_whole_and_whose_they_are_is_chosen(tmp_path: Path) -> None:
    automatic = "<automatic>Cardiomegaly</automatic><automatic>opacity</automatic>"
    reports = {
        1: report(1, "CXR1_IM-1-1", major=["Pulmonary Atelectasis/base/left/mild"]),
        2: report(2, "CXR2_IM-1-1", major=["Cardiomegaly/borderline", "Airspace Disease"]),
        3: report(3, "CXR3_IM-1-1", major=["Calcinosis/Cardiomegaly"], more=automatic),
        4: report(4, "CXR4_IM-1-1", major=["No Indexing"], more=automatic),
        5: report(5, "CXR5_IM-1-1", major=[]),
    }
    root = write(tmp_path / "openi", reports, [f"CXR{number}_IM-1-1" for number in reports])
    labels = {"heart": "cardiomegaly", "lung": "Pulmonary Atelectasis | Airspace Disease"}
    out = ingest(root, tmp_path / "out", labels)
    assert out.images[["heart", "lung"]].to_numpy().tolist() == [[0, 1], [1, 1], [0, 0]]
    assert out.refused == {"unknown_label": 2}
    found = [
        ingest(root, tmp_path / terms, LABELS, {"terms": terms}).images["heart"].tolist()
        for terms in ("major", "automatic", "both")
    ]
    assert found == [[0, 1, 0], [0, 0, 1], [0, 1, 1]]
    with pytest.raises(CohortError, match=r"labels.heart = 'Heart' is a heading of no report; among .* cardiomegaly"):
        ingest(root, tmp_path / "out", {"heart": "Heart"})
    with pytest.raises(CohortError, match=r"labels.heart = '\|' is a heading of no report"):
        ingest(root, tmp_path / "out", {"heart": "|"})
    with pytest.raises(CohortError, match=r"columns.terms = 'minor'; write one of major, automatic, both"):
        ingest(root, tmp_path / "out", LABELS, {"terms": "minor"})


def test_a_report_that_must_not_be_read_is_refused_alone(tmp_path: Path) -> None:
    fine = report(1, "CXR1_IM-1-1", major=["Cardiomegaly"])
    outward = '<!DOCTYPE eCitation [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    head, body = fine.split("?>", maxsplit=1)
    reports: dict[int, str | bytes] = {
        1: fine,
        2: f"{head}?>{BOMB}{body.replace('None.', '&z;')}",
        3: f"{head}?>{outward}{body.replace('None.', '&a;')}",
        4: f"{head}?><!DOCTYPE eCitation>{body}",
        5: (f"{head}?>{BOMB}{body}").replace("utf-8", "utf-16").encode("utf-16"),
        6: fine.replace("None.", "x" * 10_000_000),
        7: fine[:-20],
        8: fine.replace("utf-8", "klingon-8"),
        9: b"\x89PNG\r\n\x1a\n\0\0",
        10: "",
        11: fine.replace("None.", "&unheard;"),
        12: "<a>" * 100_000,
        13: fine.replace("CXR1", "CXR13")
        .replace("None.", "<b>" * 100_000 + "</b>" * 100_000)
        .replace("utf-8", "ascii"),
    }
    root = write(tmp_path / "openi", reports, ["CXR1_IM-1-1", "CXR13_IM-1-1"])
    (tmp_path / "secret.xml").write_text(report(99, "CXR1_IM-1-1", major=["Cardiomegaly"]))
    (root / "ecgen-radiology/14.xml").symlink_to(tmp_path / "secret.xml")
    (root / "ecgen-radiology/15.xml").symlink_to("15.xml")
    out = ingest(root, tmp_path / "out")
    assert out.images["source_patient"].tolist() == ["CXR13", "CXR1"]
    unread = sorted([*(number for number in reports if number not in (1, 13)), 14, 15], key=str)
    assert out.rejects == [(f"ecgen-radiology/{number}.xml", "unreadable_report") for number in unread]


def test_each_other_refusal_of_a_picture_has_its_reason(tmp_path: Path) -> None:
    reports = {
        1: report(1, "CXR1_IM-1-1", major=["Cardiomegaly"]),
        2: report(2, "CXR1_IM-1-1"),
        3: report(3, "CXR3_IM-1-1"),
        4: report(4, ""),
        5: report(5, "CXR5_IM-1-1").replace('<uId id="CXR5"/>', ""),
        6: report(6, "../../CXR"),
    }
    root = write(tmp_path / "openi", reports, ["CXR1_IM-1-1", "CXR5_IM-1-1"])
    out = ingest(root, tmp_path / "out")
    assert out.images["source_patient"].tolist() == ["CXR1"]
    assert out.rejects == [
        ("NLMCXR_png/CXR1_IM-1-1.png", "duplicate_image"),
        ("NLMCXR_png/CXR3_IM-1-1.png", "missing_file"),
        ("NLMCXR_png/.png", "missing_value"),
        ("NLMCXR_png/CXR5_IM-1-1.png", "missing_value"),
        ("../CXR.png", "outside_root"),
    ]
    with pytest.raises(CohortError, match=r"has no report: unpack NLMCXR_reports.tgz there"):
        ingest(tmp_path, tmp_path / "out")
    none = write(tmp_path / "none", {1: "<broken", 2: "<worse"}, [])
    with pytest.raises(CohortError, match=r"no image is left to use. 2 unreadable_report"):
        ingest(none, tmp_path / "out")
    bare = write(tmp_path / "bare", {1: report(1)}, [])
    with pytest.raises(CohortError, match=r"no image is left to use"):
        ingest(bare, tmp_path / "out")
