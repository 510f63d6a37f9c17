"""A change to any byte of the chain shows; what a writer could not finish is taken back; one writes at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privrad.privacy import chain
from privrad.privacy.chain import GENESIS, Entry, LedgerError, following, lines, parse
from privrad.privacy.journal import Journal

FORK = multiprocessing.get_context("fork")
PLACE = Path("spent.jsonl")
ENTRIES = following((), [("finish", {"run_id": f"run-{number}", "epsilon": number / 3}) for number in range(5)])
RAW = lines(ENTRIES)


def append(path: Path, *names: str) -> None:
    with Journal(path).writing() as (entries, writer):
        writer.append(following(entries, [("finish", {"run_id": name}) for name in names]))


def names(path: Path) -> list[str]:
    return [entry.body["run_id"] for entry in Journal(path).read()]


def in_child(action: Callable[[], None]) -> int | None:
    child = FORK.Process(target=action)
    child.start()
    child.join(timeout=60)
    return child.exitcode


def test_the_chain_reads_back_as_it_was_written() -> None:
    assert parse(RAW, path=PLACE) == ENTRIES
    assert [entry.index for entry in ENTRIES] == [0, 1, 2, 3, 4]
    assert [entry.previous for entry in ENTRIES] == [GENESIS, *(entry.hash for entry in ENTRIES[:-1])]
    first = json.loads(RAW.splitlines()[0])
    assert first.keys() == {"format", "index", "previous", "kind", "time", "run_id", "epsilon", "hash"}
    assert first["time"].endswith("+00:00")


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_any_changed_byte_shows(place: int, change: int) -> None:
    changed = bytearray(RAW)
    changed[place] ^= change
    with pytest.raises(LedgerError, match=r"spent\.jsonl, line"):
        parse(bytes(changed), path=PLACE)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(RAW) - 1))
def test_a_cut_shows_unless_it_is_at_the_end_of_a_line(size: int) -> None:
    if size == 0 or RAW[size - 1 : size] == b"\n":
        kept = parse(RAW[:size], path=PLACE)
        assert kept == ENTRIES[: len(kept)]
        assert ENTRIES[-1].hash not in {entry.hash for entry in kept}
    else:
        with pytest.raises(LedgerError, match="its writer died"):
            parse(RAW[:size], path=PLACE)


def test_what_mends_a_cut_line_is_in_its_message(tmp_path: Path) -> None:
    path = tmp_path / "a ledger.jsonl"
    append(path, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with pytest.raises(LedgerError, match=rf"line 3, the last, was cut short.*truncate -s {len(whole)} '{path}'"):
        names(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(LedgerError, match=rf"line 2, the last, is whole.*echo >> '{path}'"):
        names(path)
    path.write_bytes(whole)
    assert names(path) == ["one", "two"]


@pytest.mark.parametrize("order", [[0, 1, 3, 4], [1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 1, 2, 3, 4]])
def test_lines_removed_swapped_or_repeated_show(order: list[int]) -> None:
    kept = RAW.splitlines(keepends=True)
    with pytest.raises(LedgerError, match="removed, inserted or swapped"):
        parse(b"".join(kept[line] for line in order), path=PLACE)


def test_an_entry_must_follow_the_one_before_in_number_and_in_hash() -> None:
    other = following((), [("finish", {"run_id": "another"})] * 3)
    with pytest.raises(LedgerError, match=r"line 3 .* removed, inserted or swapped"):
        parse(lines((*ENTRIES[:2], other[2])), path=PLACE)
    shifted = following((Entry(**{**vars(ENTRIES[0]), "index": 6}),), [("finish", {})])
    with pytest.raises(LedgerError, match=r"line 2 is entry 7 .* where entry 1 "):
        parse(lines((ENTRIES[0], *shifted)), path=PLACE)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"",
        b"[]",
        b"{}",
        b"7",
        b"[" * 100_000,
        b'{"format":1e999,"index":0,"previous":"","kind":"","time":"","hash":""}',
        b'{"format":NaN,"index":0,"previous":"","kind":"","time":"","hash":""}',
        b'{"format":1,"index":' + b"9" * 5000 + b',"previous":"","kind":"","time":"","hash":""}',
        RAW.splitlines()[0].replace(b":", b": ", 1),
        RAW.splitlines()[0].replace(b'"index":0', b'"index":0,"index":0'),
    ],
)
def test_a_line_of_another_kind_is_told(line: bytes) -> None:
    with pytest.raises(LedgerError, match=r"spent\.jsonl, line 1 .*restore the newest copy"):
        parse(line + b"\n", path=PLACE)


def test_a_newer_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "FORMAT", 2)
    newer = lines(following((), [("finish", {"run_id": "one"})]))
    monkeypatch.undo()
    with pytest.raises(LedgerError, match="line 1 has format 2, and this privrad reads up to 1"):
        parse(newer, path=PLACE)


def test_an_older_copy_or_a_deleted_file_shows_while_the_lock_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    older = path.read_bytes()
    append(path, "two")
    newest = path.read_bytes()
    path.write_bytes(older)
    with pytest.raises(LedgerError, match="lost entries"):
        names(path)
    path.unlink()
    for use in (names, lambda path: append(path, "three")):
        with pytest.raises(LedgerError, match="lost entries"):
            use(path)
    assert not path.exists()
    path.write_bytes(newest)
    append(path, "three")
    assert names(path) == ["one", "two", "three"]
    path.write_bytes(older)
    Path(f"{path}.lock").unlink()
    assert names(path) == ["one"]


def test_files_and_new_folders_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "spent.jsonl"
    assert names(path) == []
    assert not path.parent.exists()
    append(path, "one")
    found = {place.name: place.stat().st_mode & 0o777 for place in (path, path.parent, path.parent.parent)}
    assert found == {"spent.jsonl": 0o600, "er": 0o700, "deep": 0o700}
    assert Path(f"{path}.lock").stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_cannot_be_written_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    before = path.read_bytes()
    path.chmod(0o400)
    with pytest.raises(LedgerError, match=r"read-only \(mode 400\)"):
        append(path, "two")
    assert path.read_bytes() == before
    for wrong in (tmp_path, path / "below.jsonl"):
        with pytest.raises(LedgerError, match=r"is not a file|cannot be written"):
            append(wrong, "two")
    with pytest.raises(LedgerError, match="is not a file"):
        names(tmp_path)


def test_a_copy_on_a_read_only_disk_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    Path(f"{path}.lock").unlink()
    opened = os.open

    def read_only(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(file, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    assert names(path) == ["one"]
    with pytest.raises(LedgerError, match="Read-only file system"):
        append(path, "two")


def test_what_a_full_disk_cut_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    before = path.read_bytes()

    def with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, resource.RLIM_INFINITY))
        with pytest.raises(LedgerError, match=r"No space left.*nothing was entered"):
            append(path, "two")

    assert in_child(with_little_room) == 0
    assert path.read_bytes() == before
    append(path, "two")
    assert names(path) == ["one", "two"]


def test_what_did_not_reach_the_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    before = path.read_bytes()

    def failing(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(LedgerError, match="Input/output error"):
            append(path, "two")
    assert path.read_bytes() == before


def test_each_entry_is_synced_before_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced, sync = tmp_path / "spent.jsonl", set[str](), os.fsync

    def watched(handle: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        if synced >= {str(path)}:
            assert path.read_bytes().endswith(b"\n")
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    append(path, "one")
    assert synced == {str(path), str(tmp_path)}


def _append_many(path: Path, worker: int, count: int) -> None:
    for number in range(count):
        append(path, f"{worker}-{number}")


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path, workers, count = tmp_path / "spent.jsonl", 4, 25
    children = [FORK.Process(target=_append_many, args=(path, worker, count)) for worker in range(workers)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    assert [child.exitcode for child in children] == [0] * workers
    found = names(path)
    assert sorted(found) == sorted(f"{worker}-{number}" for worker in range(workers) for number in range(count))
    for worker in range(workers):
        assert [name for name in found if name.startswith(f"{worker}-")] == [f"{worker}-{n}" for n in range(count)]


def _hold(path: Path, told: Connection) -> None:
    with Journal(path).writing():
        told.send("held")
        signal.pause()


def test_the_lock_is_held_while_a_writer_lives_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "spent.jsonl"
    append(path, "one")
    here, there = FORK.Pipe()
    child = FORK.Process(target=_hold, args=(path, there), daemon=True)
    child.start()
    assert here.poll(60)
    with Path(f"{path}.lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=60)
    append(path, "two")
    assert names(path) == ["one", "two"]
