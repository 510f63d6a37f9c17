"""Real cohorts, counted: published NIH ChestX-ray14 and COVID-19 pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from privrad import config
from privrad.cohorts import split
from tests.cohorts.trees import KEY, Outputs, cohort, run_ingest


def parts_of(out: Outputs, findings: list[str]) -> pd.Series:
    places: dict[str, Any] = {"assignment": out.folder / "assignment.parquet", "balance": out.folder / "balance.csv"}
    split.run(config.Split(), findings=findings, manifest=out.places["manifest"], key=KEY, **places)
    return pd.read_parquet(places["assignment"])["split"]


def test_nih_pictures(tmp_path: Path, real_data: Path) -> None:
    out = run_ingest(cohort("nih_cxr14", real_data / "cxr_nih", {"pneumonia": "Pneumonia"}), tmp_path)
    assert (len(out.images), out.images["patient_id"].nunique()) == (569, 409)
    assert out.refused == {}
    assert out.images["pneumonia"].sum() == 297
    assert out.images["sex"].value_counts().to_dict() == {"M": 289, "F": 280}
    assert out.images["view"].value_counts().to_dict() == {"AP": 317, "PA": 252}
    assert out.images["age"].between(1, 83).all()
    assert len(parts_of(out, ["pneumonia"])) == 409


def test_covid_pictures(tmp_path: Path, real_data: Path) -> None:
    out = run_ingest(cohort("covid_cxr", real_data / "cxr_covid", {"covid_19": "COVID-19"}), tmp_path)
    assert (len(out.images), out.images["patient_id"].nunique()) == (170, 87)
    assert out.refused == {"unknown_label": 19}
    assert out.images["covid_19"].sum() == 117 + 9
    assert set(out.images["view"]) == {"PA", "AP"}
    assert out.images["age"].max() == 85
    assert set(parts_of(out, ["covid_19"])) == {"train", "validation", "test"}
