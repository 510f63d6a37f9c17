"""A small cohort, and a place to train on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from privrad import config
from privrad.privacy import accounting
from tests.training.small import Cohort, Place, draw, initial_weights, inputs_of


@pytest.fixture(scope="session", autouse=True)
def _accounted_once() -> Iterator[None]:
    """The accountants are pure functions of a run, and most runs here are alike."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("prv_epsilon", "rdp_epsilon", "attack"):
            patch.setattr(accounting, name, lru_cache(getattr(accounting, name)))
        yield


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return draw(tmp_path_factory.mktemp("cohorts") / "public", patients=60, seed=1)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return draw(tmp_path_factory.mktemp("cohorts") / "private", patients=60, seed=2)


@pytest.fixture
def model() -> config.Model:
    return config.Model(network="resnet9", width=4, groups=2)


@pytest.fixture(scope="session")
def initial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Fresh weights by activation."""
    return initial_weights(tmp_path_factory.mktemp("initial"))


@pytest.fixture
def place(tmp_path: Path, public: Cohort, private: Cohort, initial: dict[str, Path]) -> Callable[..., Place]:
    """Make a place for one recipe in a folder of its own."""

    def make(recipe: str = "private", *, name: str = "", cohort: Cohort = private) -> Place:
        inputs = inputs_of(recipe, public=public, private=cohort, initial=initial)
        return Place(tmp_path / (name or recipe), inputs, recipe)

    return make
