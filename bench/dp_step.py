"""The cost of a private training step, against an ordinary step of the same network made as fast as it can be.

`python -m bench.dp_step` measures all of CASES but the large volume, and with names as arguments those. The ordinary
step is the fastest of several: channels first or last, three identical channels or one. Private and ordinary steps take
turns. `volume_224`, one volume of the paper's size, takes minutes, and `memory_224` is how much memory one private step
of it takes from start to end, in a process of its own.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privrad.models import residual, scale_resnet9
from privrad.models.slabs import is_large
from privrad.privacy.gradients import Gradients, MixedGradients
from privrad.privacy.noise import gaussian
from privrad.privacy.plan import Precision
from privrad.privacy.reference import OpacusGradients
from privrad.training.session import keep_memory

CLIPPING_NORM, OUTPUTS, KEY = 1.5, 8, bytes(32)
Step = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """One row: the shape of an image, how many at once, the ratio's bound, how many repeats, network and threads."""

    shape: tuple[int, ...]
    batch: int
    bound: float
    repeats: int
    width: int = 64
    groups: int = 32
    threads: int = 2

    @property
    def large(self) -> bool:
        """Whether steps take a minute and gigabytes."""
        return is_large(self.shape)


CASES = {
    "64": Case((64, 64), 64, 1.25, 15),
    "224": Case((224, 224), 16, 1.15, 9),
    "512": Case((512, 512), 8, 1.15, 7),
    "volume": Case((32, 56, 56), 8, 1.3, 5),
    "volume_48": Case((24, 48, 48), 16, 1.3, 5, width=8, groups=4, threads=1),
    "volume_224": Case((128, 224, 224), 1, 1.3, 1),
}
MEMORY_BOUND, NOISE_BOUND = 1.3, 0.35
RSS_BOUNDS_GIB: dict[Precision, int] = {"float32": 20, "bfloat16": 12}


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, one number a sample."""
    return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(1)


def network(case: Case, *, channels: int) -> nn.Module:
    """The paper's network for images of this shape."""
    if len(case.shape) == 3:
        return scale_resnet9.build(3, outputs=OUTPUTS, width=case.width, groups=case.groups)
    return residual.build(
        "resnet9", outputs=OUTPUTS, width=case.width, groups=case.groups, activation="mish", channels_in=channels
    )


def data(case: Case, *, channels: int) -> tuple[Tensor, Tensor]:
    """Random images of identical channels, and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(case.batch, 1, *case.shape, generator=generator)
    labels = torch.rand(case.batch, OUTPUTS, generator=generator).round()
    return images.expand(-1, 1 if len(case.shape) == 3 else channels, *[-1] * len(case.shape)), labels


def ordinary(case: Case, *, channels: int = 1, channels_last: bool = False) -> Step:
    """An ordinary training step."""
    model = network(case, channels=channels)
    images, labels = data(case, channels=channels)
    if channels_last and len(case.shape) == 2:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if channels_last:
        images = images.contiguous(
            memory_format=torch.channels_last if len(case.shape) == 2 else torch.channels_last_3d
        )
    optimiser = torch.optim.NAdam(model.parameters(), lr=1e-4, foreach=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        (loss(model(images), labels).sum() / case.batch).backward()
        optimiser.step()

    return step


def private(case: Case, engine: type[Gradients], **options: object) -> Step:
    """A private step but for its noise."""
    model = network(case, channels=3)
    images, labels = data(case, channels=3)
    gradients = engine(model, loss=loss, clipping_norm=CLIPPING_NORM, **options)  # type: ignore[arg-type]
    optimiser = torch.optim.NAdam(model.parameters(), lr=1e-4, foreach=True)

    def step() -> None:
        gradients.add(images, labels)
        for value, total in zip(gradients.parameters, gradients.take(), strict=True):
            value.grad = total.div_(case.batch)
        optimiser.step()

    return step


def noise(case: Case) -> Step:
    """The noise of one step."""
    size = sum(value.numel() for value in network(case, channels=3).parameters())

    def step() -> None:
        np.add(gaussian(KEY, 0, size, scale=1.0), 1.0)

    return step


def interleaved(steps: dict[str, Step], *, repeats: int, warm: int = 2) -> dict[str, float]:
    """The median seconds of each step over repeats in turn, after some to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + warm):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= warm:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def measured(name: str) -> dict[str, object]:
    """One row, as keys and values."""
    case = CASES[name]
    flat = len(case.shape) == 2
    torch.set_num_threads(case.threads)
    keep_memory(large=case.large)
    yardsticks = {"first": ordinary(case)}
    if not case.large:
        yardsticks["last"] = ordinary(case, channels_last=True)
    if flat:
        yardsticks["three"] = ordinary(case, channels=3)
    steps = {"private": private(case, MixedGradients, timed=True), "noise": noise(case), **yardsticks}
    times = interleaved(steps, repeats=case.repeats, warm=1 if case.large else 2)
    if flat:
        reference = {"opacus": private(case, OpacusGradients)}
        times |= interleaved({**reference, "again": yardsticks["first"]}, repeats=3)
    yardstick = min(times[each] for each in yardsticks)
    opacus = times["opacus"] * times["first"] / times["again"] if flat else None
    result: dict[str, object] = {
        "claim": f"a private step costs at most {case.bound} times an ordinary one",
        "size": case.shape,
        "batch": case.batch,
        "ratio": round(times["private"] / yardstick, 3),
        "bound": case.bound,
        "ratio_with_noise": round((times["private"] + times["noise"]) / yardstick, 3),
        "noise_ratio": round(times["noise"] / yardstick, 3),
        "opacus_ratio": round(opacus / yardstick, 3) if opacus else None,
        "speedup_over_opacus": round(opacus / times["private"], 2) if opacus else None,
        "ordinary_ms": round(1e3 * yardstick, 1),
        "private_ms": round(1e3 * times["private"], 1),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
    if name == "64":
        above = {each: peak_above_model(each) for each in ("private", "ordinary")}
        result |= {"memory_ratio": round(above["private"] / above["ordinary"], 3), "memory_bound": MEMORY_BOUND}
    return result


def peak_above_model(which: str) -> int:
    """The most bytes that tensors held beyond the model's, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.dp_step", "--peak", which], capture_output=True, check=True)
    return int(done.stdout)


def peak(which: str) -> int:
    """The most bytes that torch had allocated during the third step, beyond those before it."""
    case = CASES["64"]
    step = private(case, MixedGradients, timed=True) if which == "private" else ordinary(case)
    step()
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def measured_memory(precision: Precision) -> dict[str, object]:
    """The row of what one private step at the paper's size takes, in a process of its own."""
    command = [sys.executable, "-m", "bench.dp_step", "--rss", precision]
    done = subprocess.run(command, capture_output=True, check=True)
    bound = RSS_BOUNDS_GIB[precision]
    claim = f"one private step of one volume takes at most {bound} GiB in {precision}"
    return {"claim": claim, "size": CASES["volume_224"].shape, "bound_gib": bound, **json.loads(done.stdout)}


def rss(precision: Precision) -> dict[str, float]:
    """The most memory that this process has held once it has taken one private step of the paper's network, in GiB."""
    case = CASES["volume_224"]
    keep_memory(large=True)
    model = scale_resnet9.build(3, outputs=1)
    generator = torch.Generator().manual_seed(0)
    with MixedGradients(model, loss=loss, clipping_norm=CLIPPING_NORM, precision=precision) as gradients:
        start = time.perf_counter()
        gradients.add(torch.randn(1, 1, *case.shape, generator=generator), torch.ones(1, 1))
        gradients.take()
        seconds = time.perf_counter() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_gib": round(most / 2**20, 2), "seconds": round(seconds, 1)}


def main(arguments: list[str]) -> None:
    """Print one JSON line a row."""
    keep_memory()
    torch.set_num_threads(2)
    if arguments[:1] == ["--peak"]:
        print(peak(arguments[1]))
        return
    if arguments[:1] == ["--rss"]:
        print(json.dumps(rss("bfloat16" if arguments[1] == "bfloat16" else "float32")))
        return
    for name in arguments or [name for name, case in CASES.items() if not case.large]:
        rows = map(measured_memory, RSS_BOUNDS_GIB) if name == "memory_224" else [measured(name)]
        for row in rows:
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
