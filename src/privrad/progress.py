"""Progress of long work: one logged line every few seconds, with an estimate of the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
log = logging.getLogger("privrad")


def track(items: Iterable[Item], *, what: str, total: int | None = None, every: float = 5.0) -> Iterator[Item]:
    """Yield each item, logging how many are done and about how long the rest will take.

    `every` is in seconds. `total` defaults to the length of `items` where it has one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every and done != total:
            last = now
            log.info("%s: %s", what, describe(done, total, now - start))
    log.info("%s: %s in %s", what, done, clock(time.monotonic() - start))


def describe(done: int, total: int | None, elapsed: float) -> str:
    """How far the work is: "40 of 100 (40 %), about 0:30 left"."""
    if not total:
        return f"{done}, {clock(elapsed)} so far"
    left = elapsed * (total - done) / done
    return f"{done} of {total} ({100 * done // total} %), about {clock(left)} left"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
