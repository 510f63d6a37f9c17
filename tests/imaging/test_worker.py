"""The process that prepares files: the same images as without it, and what becomes of files that break it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from privrad.imaging import ct, radiograph, task
from privrad.imaging.read import read_radiograph, read_scan
from privrad.imaging.task import Task
from privrad.imaging.unreadable import Unreadable
from privrad.imaging.worker import Worker
from privrad.provenance import sources
from tests.imaging.made import Writer
from tests.imaging.made_scan import body

SIZE, WINDOW = (24, 20, 12), (-150.0, 250.0)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of few bytes that takes half a second or more."""
    path = tmp_path_factory.mktemp("slow") / "slow.png"
    rows = np.repeat(np.arange(256, dtype=np.uint8), 40)
    Image.fromarray(np.broadcast_to(rows, (10_240, 10_240))).save(path, compress_level=1)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    return path


def hurried(patch: pytest.MonkeyPatch) -> None:
    """A hundredth of a second for a file of any size, in which no computer decodes the slow one."""
    patch.setattr(task, "SECONDS_RADIOGRAPH", 0.01)
    patch.setattr(task, "SECONDS_A_MEBIBYTE", 0.0)


def refusal(to: Worker, path: Path) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        to.prepare(path)
    assert len(caught.value.remedy) > 20
    return caught.value


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def killing(victim: Worker, how: signal.Signals) -> Iterator[list[int]]:
    """Send a signal to each process that a worker starts; gives their numbers."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            child = victim._child
            if child is not None and child._process.pid not in killed:
                killed.append(child._process.pid)
                os.kill(child._process.pid, how)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_the_same_images_as_without_it(chest: np.ndarray, write: Writer, tmp_path: Path) -> None:
    path = write(chest, BitsStored=12)
    nibabel.save(nibabel.Nifti1Image(body().T, np.diag([-2.0, -2.5, 4, 1])), tmp_path / "scan.nii.gz")
    with Worker(Task(48)) as radiographs, Worker(Task(SIZE, WINDOW)) as scans:
        image, volume = radiographs.prepare(path), scans.prepare(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(image.pixels, radiograph.prepare(read_radiograph(path), size=48))
    assert image.affine is None
    scan = read_scan(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.pixels, ct.prepare(scan, size=SIZE, window=WINDOW))
    np.testing.assert_array_equal(volume.affine, ct.grid(scan, size=SIZE))


def test_arguments_out_of_bounds(quick: Path) -> None:
    for wanted, said in (
        (Task(9000), r"^size is 9000; give 1 to 8192 pixels$"),
        (Task(10**10), "^size is 10000000000; give 1"),
        (Task((8, 8, 8), (9, 5)), r"^window is \(9, 5\); give two"),
        (Task((8, 8, 8)), "^a volume needs a window; give two"),
    ):
        with Worker(wanted) as one, pytest.raises(ValueError, match=said):
            one.prepare(quick)
        assert one._child is None


def test_a_file_that_takes_too_long(slow: Path, quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker(Task(32)) as one:
        one.prepare(quick)
        with monkeypatch.context() as hurry:
            hurried(hurry)
            error = refusal(one, slow)
        assert (error.reason, error.remedy[:29]) == ("took_too_long", "it was not done after 0 s; ex")
        assert one.prepare(quick).pixels.shape == (32, 32)


def test_a_file_that_takes_too_much_memory(slow: Path, quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "MEMORY_RADIOGRAPH", 2**28)
    with Worker(Task(32)) as one:
        assert refusal(one, slow).reason == "too_large"
        assert one.prepare(quick).pixels.shape == (32, 32)


@pytest.mark.parametrize(("how", "reason"), [("SIGSEGV", "crashed_decoder"), ("SIGKILL", "killed_decoder")])
def test_a_file_that_ends_the_process(how: str, reason: str, slow: Path, quick: Path) -> None:
    """It is tried once more, in a process that no other file has been through, and refused alone."""
    with Worker(Task(32)) as one:
        one.prepare(quick)
        with killing(one, signal.Signals[how]) as killed:
            error = refusal(one, slow)
        assert (error.reason, len(killed)) == (reason, 2)
        assert (how in error.remedy) == (how == "SIGSEGV")
        assert one.prepare(quick).pixels.shape == (32, 32)


def test_a_file_is_not_refused_for_the_damage_of_another(quick: Path) -> None:
    with Worker(Task(32)) as one:
        expected = one.prepare(quick).pixels
        assert one._child is not None
        os.kill(one._child._process.pid, signal.SIGSEGV)
        np.testing.assert_array_equal(one.prepare(quick).pixels, expected)


def test_no_file_is_refused_for_a_process_that_was_killed_or_held_up_once(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Worker(Task(32)) as one:
        for how in (signal.SIGKILL, signal.SIGSTOP):
            tries: list[int] = []

            def seconds(*_: object, how: signal.Signals = how, tries: list[int] = tries) -> float:
                assert one._child is not None
                tries.append(one._child._process.pid)
                if len(tries) == 1:
                    os.kill(tries[0], how)
                return 0.2 if (len(tries), how) == (1, signal.SIGSTOP) else 600.0

            monkeypatch.setattr(Task, "seconds", seconds)
            assert one.prepare(quick).pixels.shape == (32, 32)
            assert len(set(tries)) == len(tries) == 2


def test_the_process_ends_with_the_one_that_started_it(slow: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from privrad.imaging.task import Task\n"
        "from privrad.imaging.worker import Worker\n"
        "one = Worker(Task(32))\n"
        "one.prepare(pathlib.Path(sys.argv[1]))\n"
        "print(one._child._process.pid, flush=True)\n"
        "while True: one.prepare(pathlib.Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(slow)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert runs(child)
        parent.kill()
    until = time.monotonic() + 60
    while runs(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not runs(child)


def test_nothing_is_left_behind(slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    hurried(monkeypatch)
    with Worker(Task(32)) as one:
        refusal(one, slow)
        refusal(one, slow)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_process_that_cannot_start_is_no_fault_of_the_file(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with (
        Worker(Task(32)) as one,
        pytest.raises(ChildProcessError, match=r"does not start; see why with: .*-m privrad"),
    ):
        one.prepare(quick)


def test_a_large_file_or_series_may_take_longer(quick: Path, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(1000):
        with (folder / str(number)).open("wb") as stream:
            stream.truncate(2**19)
    assert Task(32).seconds(quick) == pytest.approx(30, abs=0.1)
    assert Task(SIZE, WINDOW).seconds(folder) == pytest.approx(60 + 500 + 100, abs=0.2)
    assert Task(SIZE, WINDOW).seconds(folder / "7") == pytest.approx(60 + 500 + 100)
    with quick.open("r+b") as stream:
        stream.truncate(2**42)
    assert Task(32).seconds(quick) == 3600
    assert Task(SIZE, WINDOW).seconds(tmp_path / "none" / "there") == pytest.approx(60.1)


def test_what_is_prepared_depends_on_the_decoders() -> None:
    named = {path.stem for path in sources("imaging.prepare")}
    assert {"decoding", "worker", "read", "dicom", "nifti", "picture", "ct", "radiograph"} <= named
