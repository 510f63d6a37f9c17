from __future__ import annotations

import logging

import pytest

from privrad import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that tests advance by hand, in seconds."""
    now = [100.0]
    monkeypatch.setattr("privrad.progress.time.monotonic", lambda: now[0])
    return now


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "privrad"]


def test_each_item_comes_through_in_order() -> None:
    assert list(progress.track("abc", what="letters")) == ["a", "b", "c"]


def test_long_work_says_how_far_it_is_and_how_long_it_will_take(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="privrad")
    for _ in progress.track(range(4), what="steps", every=5.0):
        clock[0] += 3.0
    assert messages(caplog) == ["steps: 2 of 4 (50 %), about 0:06 left", "steps: 4 in 0:12"]


def test_short_work_says_only_that_it_is_done(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="privrad")
    assert list(progress.track([1, 2], what="images")) == [1, 2]
    assert messages(caplog) == ["images: 2 in 0:00"]


def test_work_of_unknown_length_says_how_long_it_took_so_far(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="privrad")
    for _ in progress.track(iter(range(2)), what="rows", every=5.0):
        clock[0] += 6.0
    assert messages(caplog) == ["rows: 1, 0:06 so far", "rows: 2, 0:12 so far", "rows: 2 in 0:12"]


def test_a_total_can_be_given_for_a_stream(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="privrad")
    for _ in progress.track(iter("ab"), what="batches", total=2, every=5.0):
        clock[0] += 60.0
    assert messages(caplog) == ["batches: 1 of 2 (50 %), about 1:00 left", "batches: 2 in 2:00"]


def test_nothing_to_do_is_no_error(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="privrad")
    assert list(progress.track([], what="images")) == []
    assert messages(caplog) == ["images: 0 in 0:00"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_seconds_are_shown_as_a_clock(seconds: float, shown: str) -> None:
    assert progress.clock(seconds) == shown
