"""Kill small trainings at random moments and compare what their resumed runs leave with an uninterrupted one.

    python -m tools.audit --kills 50

Each training is a child forked from this process, which has imported all that it needs and runs one thread. A child
tells each checkpoint that it wrote; the kill follows a random number of them after a random part of the time that the
next takes, so that it can fall into any step, any write, the start and the end. Prints one JSON line; the exit status
is 1 where a resumed run differs from the uninterrupted one or the ledger says anything else than it would say then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from privrad import files  # noqa: E402
from privrad.imaging.shards import open_shards, write_shard  # noqa: E402
from privrad.privacy import accounting, certificate  # noqa: E402
from privrad.training.binding import Inputs  # noqa: E402
from privrad.training.planned import plan_of  # noqa: E402
from privrad.training.state import State  # noqa: E402
from tests.training.small import Cohort, Place, draw, initial_weights, inputs_of  # noqa: E402

STEPS = {"private": 6, "matched": 6, "without_privacy": 6}
SETTINGS: dict[str, Any] = {
    "privacy": {"noise": "release", "steps": 6},
    "training": {"without_privacy": {"learning_rate": 2e-3, "batch": 32, "epochs": 2}},
}


class DifferenceError(Exception):
    """What a killed and resumed training left is not what an uninterrupted one leaves."""


@dataclass
class Child:
    """A forked process that runs `work` and tells each checkpoint by one byte."""

    work: Callable[[], object]

    def __post_init__(self) -> None:
        self.told, tell = os.pipe()
        self.process = os.fork()
        if self.process:
            os.close(tell)
            return
        try:
            whole = State.keep

            def keep(state: State, *arguments: Any, **settings: Any) -> None:
                whole(state, *arguments, **settings)
                os.write(tell, b".")

            State.keep = keep  # type: ignore[method-assign,assignment]
            self.work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    def checkpoints(self, count: int) -> None:
        """Wait until it has told `count` more checkpoints, or has ended."""
        for _ in range(count):
            if not os.read(self.told, 1):
                return

    def end(self, *, kill_within: float | None = None) -> int:
        """Wait for its end, or kill it at a random moment of that many seconds; its exit status, negative if killed."""
        if kill_within is not None:
            handle = os.pidfd_open(self.process)
            select.select([handle], [], [], random.uniform(0, kill_within))
            os.close(handle)
            os.kill(self.process, signal.SIGKILL)
        _, status = os.waitpid(self.process, 0)
        os.close(self.told)
        return os.waitstatus_to_exitcode(status)


def complete(work: Callable[[], object]) -> None:
    """Run `work` in a child to its end."""
    if Child(work).end():
        raise DifferenceError("a training that was not killed failed; its error stands above")


@dataclass(frozen=True)
class Base:
    """A reserved training, what it leaves when nothing interrupts it, and how long its parts take, in seconds."""

    reserved: Place
    left: dict[str, Any]
    start: float
    step: float
    seal: float

    def window(self, checkpoints: int) -> float:
        """How long it takes from that many checkpoints to the next, or to the end."""
        return self.start if not checkpoints else self.seal if checkpoints == self.steps else self.step

    @property
    def steps(self) -> int:
        return STEPS[self.reserved.recipe]


def left_by(place: Place) -> dict[str, Any]:
    """All that a training leaves, less the ledger's head, which holds the times of entries."""
    told = json.loads((place.folder / "certificate.json").read_text())
    told["ledger"]["head"] = None
    return {
        "weights": files.sha256(place.folder / "model.safetensors"),
        "account": json.loads((place.folder / "training.json").read_text()),
        "certificate": told,
        "entries": [entry.kind for entry in place.ledger.entries()],
        "files in work": sorted(path.name for path in place.work.rglob("*") if path.is_file()),
    }


def told_by(work: Callable[[], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What `work`, run in a child, gives."""
    answer = folder / "answer.json"
    complete(lambda: answer.write_text(json.dumps(work())))
    told: dict[str, Any] = json.loads(answer.read_text())
    return told


def based(place: Place) -> Base:
    """Reserve, and train a copy without a kill."""
    complete(lambda: place.begin(**SETTINGS))
    clean = copied(place, "clean")
    began = time.monotonic()
    child = Child(lambda: clean.finetune(**SETTINGS))
    child.checkpoints(1)
    first = time.monotonic()
    child.checkpoints(STEPS[place.recipe] - 1)
    last = time.monotonic()
    if child.end():
        raise DifferenceError("the uninterrupted training failed; its error stands above")
    seal, step = time.monotonic() - last, (last - first) / (STEPS[place.recipe] - 1)
    return Base(place, told_by(lambda: left_by(clean), place.folder), first - began, step, seal)


def copied(place: Place, name: str) -> Place:
    folder = place.folder.with_name(f"{place.folder.name}-{name}")
    shutil.copytree(place.folder, folder)
    return replace(place, folder=folder)


def killed_training(base: Base, name: str) -> int:
    """Kill a copy of the training once or twice, resume it to its end and compare; the number of kills that struck."""
    here, struck = copied(base.reserved, name), 0
    for _ in range(random.choice((1, 1, 2))):
        child, checkpoints = Child(lambda: here.finetune(**SETTINGS)), random.randint(0, base.steps)
        child.checkpoints(checkpoints)
        struck += child.end(kill_within=base.window(checkpoints)) == -signal.SIGKILL
    complete(lambda: here.finetune(**SETTINGS))
    found = told_by(lambda: left_by(here), here.folder)
    if found != base.left:
        odd = [part for part, value in found.items() if value != base.left[part]]
        raise DifferenceError(f"{here.recipe}: after a kill, {', '.join(odd)} differ from an uninterrupted training")
    shutil.rmtree(here.folder)
    return struck


def killed_reservation(base: Base, name: str) -> int:
    """Kill a reservation, reserve again and train; the ledger must hold one charge, that of the run trained."""
    here = replace(base.reserved, folder=base.reserved.folder.with_name(name))
    struck = Child(lambda: here.reserve(**SETTINGS)).end(kill_within=base.start) == -signal.SIGKILL
    complete(lambda: here.both(**SETTINGS))
    found = told_by(lambda: left_by(here), here.folder)
    if found["entries"] != base.left["entries"]:
        raise DifferenceError(f"after a kill the ledger holds {found['entries']}, not {base.left['entries']}")
    shutil.rmtree(here.folder)
    return struck


def corrected_in_between(base: Base, folder: Path) -> int:
    """Kill a training, correct an image, and see that neither the checkpoint nor the noise is used again."""
    here = copied(base.reserved, "corrected")
    child = Child(lambda: here.finetune(**SETTINGS))
    child.checkpoints(base.steps // 2)
    struck = child.end(kill_within=base.step) == -signal.SIGKILL
    other = corrected(here.inputs, folder)
    found = told_by(lambda: corrected_run(here, other), here.folder)
    if found["run"] == base.left["certificate"]["ledger"]["run_id"] or found["steps"] != base.steps:
        raise DifferenceError("a corrected image went on with the old run")
    if not found["refused"] or not found["spent"] > base.left["certificate"]["cohort_so_far"]["epsilon"]:
        raise DifferenceError("a corrected image was trained on without a charge")
    return struck


def corrected_run(here: Place, other: Inputs) -> dict[str, Any]:
    """Train on corrected inputs; whether that was refused unasked, its run, its steps and what is spent then."""
    try:
        here.reserve(inputs=other, **SETTINGS)
        refused = False
    except ValueError:
        refused = True
    here.reserve(inputs=other, spend=True, **SETTINGS)
    steps, whole = [], State.keep

    def keep(state: State, step: int, *arguments: Any, **settings: Any) -> None:
        steps.append(step)
        whole(state, step, *arguments, **settings)

    State.keep = keep  # type: ignore[method-assign,assignment]
    told = here.finetune(inputs=other, spend=True, **SETTINGS)["certificate"]
    run, spent = told["ledger"]["run_id"], told["cohort_so_far"]["epsilon"]
    return {"refused": refused, "run": run, "spent": spent, "steps": len(steps)}


def corrected(inputs: Inputs, folder: Path) -> Inputs:
    """The inputs with one pixel of every image changed."""
    paths = [folder / "corrected" / path.name for path in inputs.shards]
    for path, target in zip(inputs.shards, paths, strict=True):
        images = open_shards([path])
        pixels = images.take(np.arange(len(images)))
        pixels[:, 3, 3] ^= 1
        write_shard(target, pixels=pixels, image_ids=images.image_ids, refused={})
    return replace(inputs, shards=paths)


def prepared(folder: Path) -> list[Place]:
    """A place for each recipe; children draw what it needs, so that this process starts no thread."""
    complete(lambda: (draw(folder / "public", patients=20, seed=1), draw(folder / "private", patients=40, seed=2)))
    (folder / "initial").mkdir()
    complete(lambda: initial_weights(folder / "initial"))
    initial = {activation: folder / "initial" / activation for activation in ("mish", "relu")}
    cohorts = {"public": Cohort.at(folder / "public"), "private": Cohort.at(folder / "private")}
    return [
        Place(folder / recipe, inputs_of(recipe, initial=initial, **cohorts), recipe)
        for recipe in ("private", "matched", "without_privacy")
    ]


def warm(place: Place) -> None:
    """Have the children of this process find all modules imported and the accountants' answers at hand."""
    torch.set_num_threads(1)
    for name in ("prv_epsilon", "rdp_epsilon", "attack"):
        setattr(accounting, name, lru_cache(getattr(accounting, name)))
    job = place.job(**SETTINGS)
    plan = plan_of(job.recipe, privacy=job.settings.privacy)
    certificate.protected(plan, model={}, receipt=None, data={}, settings={})
    if len(threads := list(Path("/proc/self/task").iterdir())) > 1:
        raise DifferenceError(f"{len(threads)} threads run, and a forked child keeps one; let no library start any")


def audit(kills: int, folder: Path) -> dict[str, Any]:
    """Kill until that many kills have struck; what was done."""
    places = prepared(folder)
    warm(places[0])
    bases = [based(place) for place in places]
    done: dict[str, int] = {"kills": int(corrected_in_between(bases[0], folder)), "trainings": 0, "reservations": 0}
    while done["kills"] < kills:
        print(f"{done['kills']} of {kills} kills", file=sys.stderr)
        turn = done["trainings"] + done["reservations"]
        if turn % 5 == 2:
            done["kills"] += killed_reservation(bases[0], f"reservation-{turn}")
            done["reservations"] += 1
        else:
            base = random.choice(bases) if turn % 2 else bases[0]
            done["kills"] += killed_training(base, f"training-{turn}")
            done["trainings"] += 1
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; new ones each time without it")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    random.seed(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = audit(options.kills, Path(folder))
        except DifferenceError as error:
            print(f"{error} (--seed {seed})", file=sys.stderr)
            return 1
    print(json.dumps({**done, "differences": 0, "seed": seed, "seconds": round(time.monotonic() - began, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
