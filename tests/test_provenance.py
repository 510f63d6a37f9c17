from __future__ import annotations

from pathlib import Path

import pytest

from privrad import provenance


def names(module: str) -> set[str]:
    return {str(path.relative_to(provenance.PACKAGE)) for path in provenance.sources(module)}


def test_direct_and_indirect_imports_are_found() -> None:
    assert {"cohorts/split.py", "config/__init__.py", "files.py"} <= names("cohorts.split")


def test_lazy_imports_inside_functions_count() -> None:
    assert {"cohorts/ingest.py", "training/finetune.py", "report/report.py"} <= names("cli")


def test_what_is_not_imported_does_not_count() -> None:
    assert not {name for name in names("cohorts.split") if name.startswith(("training", "report", "privacy"))}


def test_templates_belong_to_the_report() -> None:
    assert any(not name.endswith(".py") for name in names("report.report"))


def test_a_made_up_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "privrad"
    (package / "one").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "one/__init__.py").touch()
    (package / "one/a.py").write_text("from . import b\nfrom ..c import thing\nimport os\n")
    (package / "one/b.py").write_text("import privrad.d\n")
    (package / "c.py").write_text("thing = 1\n")
    (package / "d.py").write_text("from privrad.one import a\n")
    (package / "e.py").touch()
    monkeypatch.setattr(provenance, "PACKAGE", package)
    found = {str(path.relative_to(package)) for path in provenance.sources("one.a")}
    assert found == {"__init__.py", "one/__init__.py", "one/a.py", "one/b.py", "c.py", "d.py"}


def test_compiled_code_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python and numba keep in __pycache__ comes and goes with runs; a table beside the module stays a source."""
    package = tmp_path / "privrad"
    for file in ("part/__init__.py", "part/kernel.py", "part/table.csv", "part/__pycache__/kernel.1.nbc"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).touch()
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert {path.name for path in provenance.sources("part.kernel")} == {"__init__.py", "kernel.py", "table.csv"}


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"'cohorts\.nothing' is not one of privrad's"):
        provenance.sources("cohorts.nothing")
