"""The COVID-19 collection as it is published: folder and file name, one id a patient, findings as paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from privrad.cohorts.tables import CohortError
from tests.cohorts.trees import cohort, run_ingest

HEADER = "patientid,offset,sex,age,finding,RT_PCR_positive,view,modality,folder,filename,license,clinical_notes"
LINES = [
    "2,0,M,65,Pneumonia/Viral/COVID-19,Y,PA,X-ray,images,a.jpeg,CC BY,",
    "2,3,M,65,Pneumonia/Viral/COVID-19,Y,AP Erect,X-ray,images,b.jpeg,CC BY,",
    '7,7,F,29,"COVID-19, ARDS",,AP Supine,X-ray,images,c.png,CC BY,"two\nlines"',
    "9,,,,Pneumonia/Bacterial/Streptococcus,,PA,X-ray,images,d.png,,",
    "10,,,,No Finding,,Axial,CT,volumes,e.nii.gz,,",
    "11,,,,todo,,PA,X-ray,images,f.png,,",
    "12,,,,No Finding,,PA,X-ray,images,,,",
]


def test_the_published_table_gives_paths_patients_and_findings(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "metadata.csv").write_text("\n".join([HEADER, *LINES]) + "\n")
    for name in ("a.jpeg", "b.jpeg", "c.png", "d.png", "f.png"):
        (tmp_path / "images" / name).touch()
    labels = {"covid_19": "COVID-19", "ards": "ARDS", "pneumonia": "Pneumonia", "viral": "Viral"}
    out = run_ingest(cohort("covid_cxr", tmp_path, labels), tmp_path / "out")
    assert list(out.images.index) == [f"images/{name}" for name in ("a.jpeg", "b.jpeg", "c.png", "d.png")]
    assert list(out.images["source_patient"]) == ["2", "2", "7", "9"]
    assert list(out.images["source_study"]) == ["2_0", "2_3", "7_7", "images/d.png"]
    assert list(out.images["covid_19"]) == [1, 1, 1, 0]
    assert list(out.images["ards"]) == [0, 0, 1, 0]
    assert list(out.images["pneumonia"]) == [1, 1, 0, 1]
    assert list(out.images["viral"]) == [1, 1, 0, 0]
    assert out.refused == {"missing_value": 1, "not_frontal": 1, "unknown_label": 1}


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ("filename", "has neither a column file nor both folder and filename"),
        ("patientid", "has neither column split_group nor patientid"),
        ("finding", "lacks column finding; it has patientid"),
    ],
)
def test_a_table_without_paths_patients_or_findings_is_an_error(tmp_path: Path, lacking: str, told: str) -> None:
    (tmp_path / "metadata.csv").write_text("\n".join([HEADER.replace(lacking, "other"), LINES[0]]) + "\n")
    with pytest.raises(CohortError, match=told):
        run_ingest(cohort("covid_cxr", tmp_path, {"covid_19": "COVID-19"}), tmp_path / "out")
