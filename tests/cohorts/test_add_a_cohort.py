"""The guide for new cohorts: its study block and its adapter work as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from privrad import config
from privrad.cohorts import ingest
from privrad.cohorts import manifest as manifests
from tests.cohorts.trees import run_ingest

GUIDE = (Path(__file__).parents[2] / "docs/add-a-cohort.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def block(language: str) -> str:
    return blocks(language)[0]


def test_the_study_block_reads_a_table_with_other_names(tmp_path: Path) -> None:
    printed = yaml.safe_load(block("yaml"))["private"]
    grades = {"heart_size": "enlarged", "effusion_r": "negative", "effusion_l": "mild"}
    row = {"file": "1.png", "pid": "7", "accession": "A1", "age": "64", "sex": "M", "projection": "PA"} | grades
    pd.DataFrame([row]).to_csv(tmp_path / "radiographs.csv", index=False)
    (tmp_path / "1.png").touch()
    chosen = config.Cohort.model_validate(printed | {"root": tmp_path})
    image = run_ingest(chosen, tmp_path / "out").images.loc["1.png"]
    assert list(image[list(chosen.labels)]) == [1, 0, 1]
    assert image["bedside"] is pd.NA


def test_the_adapter_has_thirty_lines_and_reads_the_table_that_is_printed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, table = block("python"), block("csv")
    assert len(source.splitlines()) <= 30
    namespace: dict[str, object] = {"__name__": "st_elsewhere"}
    exec(compile(source, "st_elsewhere.py", "exec"), namespace)
    monkeypatch.setitem(ingest.ADAPTERS, "uka_cxr", namespace["read"])
    (tmp_path / "radiographs.csv").write_text(table)
    (tmp_path / "2019").mkdir()
    for line in table.splitlines()[1:]:
        (tmp_path / line.split(",")[0]).touch()
    printed = next(yaml.safe_load(text)["private"] for text in blocks("yaml") if "layout: st_elsewhere" in text)
    chosen = config.Cohort.model_validate(printed | {"root": tmp_path, "layout": "uka_cxr"})
    out = run_ingest(chosen, tmp_path / "out")
    assert out.images[["cardiomegaly", "effusion"]].to_numpy().tolist() == [[1, 0], [0, 0]]
    assert list(out.images.index) == ["2019/1.png", "2019/2.png"]
    assert out.refused == {"missing_value": 1, "not_frontal": 1}


def test_every_reason_is_explained() -> None:
    for reason in manifests.REMEDIES:
        assert f"`{reason}`" in GUIDE
