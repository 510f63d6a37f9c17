"""Started by torchrun: fine-tune in all processes together, stopped and resumed where that is asked for.

torchrun … -m tests.training.two_processes FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from privrad import config
from privrad.training.session import Group, together
from privrad.training.state import State
from tests.training.small import Cohort, Place, StoppedError, inputs_of

RECORDS = {"unit": "record", "views": 1, "max_images_per_patient": 3, "steps": 4}
SEEDED: dict[str, Any] = {"privacy": RECORDS, "performance": {"processes": 2}}
RELEASE: dict[str, Any] = {"privacy": RECORDS | {"noise": "release"}, "performance": {"processes": 2}}


def train(place: Place, settings: dict[str, Any], *, stop: int | None = None, told: Path | None = None) -> None:
    """Train, stopped after `stop` steps; each step's weights are told by a line of `told`."""
    whole = State.keep

    def keep(state: State, step: int, model: nn.Module, *arguments: Any, **named: Any) -> None:
        whole(state, step, model, *arguments, **named)
        if told is not None:
            digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values()))
            with told.open("a") as lines:
                lines.write(digest.hexdigest() + "\n")
        if step == stop:
            raise StoppedError

    State.keep = keep  # type: ignore[method-assign,assignment]
    try:
        place.train(**settings)
    except StoppedError:
        pass
    finally:
        State.keep = whole  # type: ignore[method-assign]


def main(folder: Path, group: Group) -> None:
    initial = {activation: folder / "initial" / activation for activation in ("mish", "relu")}
    cohorts = {"public": Cohort.at(folder / "public"), "private": Cohort.at(folder / "private")}
    clean = Place(folder / "clean", inputs_of("private", initial=initial, **cohorts))
    train(clean, SEEDED)
    stopped = replace(clean, folder=folder / "stopped")
    train(stopped, SEEDED, stop=2)
    train(stopped, SEEDED)
    train(replace(clean, folder=folder / "release"), RELEASE, told=folder / f"rank-{group.rank}")


if __name__ == "__main__":
    with together(config.Performance(device="cpu", processes=2)) as joined:
        main(Path(sys.argv[1]), joined)
