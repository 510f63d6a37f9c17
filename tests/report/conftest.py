"""What the tests of the report need again and again."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from privrad.privacy import accounting


@pytest.fixture(scope="package", autouse=True)
def _composed_once() -> Iterator[None]:
    """The same runs are composed once for all pages: a sum of loss distributions takes longer than the page."""
    compose = accounting.compose

    @functools.cache
    def once(runs: tuple[accounting.Run, ...], delta: float) -> float:
        return compose(runs, delta=delta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounting, "compose", lambda runs, *, delta: once(tuple(runs), delta))
        yield
