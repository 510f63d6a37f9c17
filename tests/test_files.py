from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privrad import files


def test_a_file_appears_whole_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "table.csv"
    with files.atomic(target) as temporary:
        temporary.write_text("half")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".csv"
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.write_bytes(b"before")

    def fail() -> None:
        with files.atomic(target) as temporary:
            temporary.write_bytes(b"half of what came af")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_bytes_are_synced_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "certificate.json"
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(target.exists()))
    files.write_text(target, "{}")
    assert synced == [False]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / "report.html", "page")
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o644


def test_text_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    files.write_text(tmp_path / "text", "Röntgen, ε = ∞")
    assert (tmp_path / "text").read_bytes() == "Röntgen, ε = ∞".encode()


def test_json_has_the_same_bytes_whatever_the_order_of_keys(tmp_path: Path) -> None:
    files.write_json(tmp_path / "one.json", {"b": [1, 2.5, None], "a": {"d": True, "c": "x"}})
    files.write_json(tmp_path / "two.json", {"a": {"c": "x", "d": True}, "b": [1, 2.5, None]})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (tmp_path / "one.json").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_other_readers_would_not_take(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "metrics.json", {"auroc": value})
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200))
def test_the_hash_is_sha_256(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    assert files.sha256(path) == hashlib.sha256(content).hexdigest()


def test_what_holds_plain_names_is_its_owners_alone(tmp_path: Path) -> None:
    with files.atomic(tmp_path / "paths.parquet", mode=files.PRIVATE) as temporary:
        temporary.write_text("paths")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "paths.parquet").stat().st_mode) == 0o600
