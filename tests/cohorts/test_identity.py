"""Keys and keyed ids."""

from __future__ import annotations

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from privrad.cohorts import identity


def test_an_id_is_the_hmac_of_kind_and_value() -> None:
    key = bytes(range(32))
    expected = hmac.new(key, b"patient\x0010000032", hashlib.sha256).hexdigest()[:32]
    assert identity.keyed_id(key, "patient", "10000032") == expected
    assert identity.keyed_id(key, "study", "10000032") != expected
    assert identity.keyed_id(bytes(32), "patient", "10000032") != expected


def test_ids_of_a_column_are_those_of_its_values() -> None:
    values = pd.Series(["b", "a", "b", "ä"], index=[7, 3, 5, 1], dtype="str")
    ids = identity.keyed_ids(values, key=b"k" * 32, kind="image")
    assert list(ids) == [identity.keyed_id(b"k" * 32, "image", value) for value in values]
    assert list(ids.index) == [7, 3, 5, 1]


def test_fractions_are_spread_evenly() -> None:
    drawn = [identity.fraction(b"k" * 32, "split", str(number)) for number in range(4000)]
    assert 0 <= min(drawn) < 0.01 < 0.99 < max(drawn) <= 1
    assert sum(value < 0.25 for value in drawn) == pytest.approx(1000, abs=120)


@pytest.mark.parametrize("sensitivity", ["public", "synthetic"])
def test_the_key_of_a_cohort_that_hides_nobody_follows_from_the_seed(tmp_path: Path, sensitivity: str) -> None:
    key = identity.key_for(sensitivity, seed=1, folder=tmp_path / "keys")
    assert key == identity.key_for(sensitivity, seed=1, folder=tmp_path / "other")
    assert key != identity.key_for(sensitivity, seed=2, folder=tmp_path / "keys")
    assert len(key) == 32
    assert not (tmp_path / "keys").exists()


def test_the_hospital_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "keys"
    key = identity.key_for("private", seed=1, folder=folder)
    assert len(key) == 32
    assert identity.key_for("private", seed=2, folder=folder) == key
    assert [path.name for path in folder.iterdir()] == ["hospital.key"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "hospital.key").stat().st_mode) == 0o600
    assert identity.key_for("private", seed=1, folder=tmp_path / "other") != key


def test_jobs_that_race_for_the_first_key_agree(tmp_path: Path) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda _: identity.key_for("private", seed=1, folder=folder), range(16)))  # noqa: B023
        assert len(set(keys)) == 1
        assert [path.name for path in folder.iterdir()] == ["hospital.key"]


@pytest.mark.parametrize("content", ["", "abc", "00" * 31, "zz" * 32])
def test_a_damaged_key_is_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hospital.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(identity.IdentityError, match="must hold 64 hexadecimal digits; restore it"):
        identity.key_for("private", seed=1, folder=tmp_path)
    assert path.read_text() == content


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    identity.key_for("private", seed=1, folder=tmp_path)
    (tmp_path / "hospital.key").chmod(0o640)
    with pytest.raises(identity.IdentityError, match=r"mode 0640.*chmod 600"):
        identity.key_for("private", seed=1, folder=tmp_path)


def test_an_unknown_sensitivity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'secret': it must be public, synthetic or private"):
        identity.key_for("secret", seed=1, folder=tmp_path)


def test_a_key_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(identity.IdentityError, match=r"keys/hospital\.key cannot be used .*set PRIVRAD_KEYS"):
        identity.key_for("private", seed=1, folder=tmp_path / "keys")
