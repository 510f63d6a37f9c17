"""Where and how a training computes: device, threads, processes, and arithmetic that repeats bit for bit."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from privrad.config import Performance

Value = TypeVar("Value")
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of mallopt, in malloc.h


@dataclass(frozen=True)
class Group:
    """The processes of one training: this one's rank, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def told(self, value: Value) -> Value:
        """The value that the first process gives; every process must call."""
        held = [value]
        if self.world > 1:
            distributed.broadcast_object_list(held, src=0)
        return held[0]


@contextmanager
def together(performance: Performance) -> Iterator[Group]:
    """The processes that torchrun started, joined for the length of the context; without torchrun this one alone.

    Where they are joined already they stay so: torchrun can join its processes only once.
    Raises ValueError where there are not as many as `performance.processes` says.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != performance.processes:
        raise ValueError(
            f"performance.processes {performance.processes}, and {world} started; run the workflow, or start this "
            f"by torchrun --standalone --nproc-per-node {performance.processes} --no-python"
        )
    if world == 1 or distributed.is_initialized():
        yield Group(distributed.get_rank() if world > 1 else 0, world)
        return
    distributed.init_process_group("nccl" if _device(performance.device).type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


@contextmanager
def computing(performance: Performance, *, large: bool = False) -> Iterator[torch.device]:
    """Set torch's threads and deterministic kernels, without TF32, for the length of the context.

    `large` says that tensors take gigabytes, as those of large volumes do: then memory goes before speed.
    Same device, thread count and torch give the same bits on a CPU; on CUDA, a kernel with no such form warns.
    Raises ValueError for device cuda where there is none.
    """
    device = _device(performance.device)
    threads = torch.get_num_threads()
    strictness = torch.get_deterministic_debug_mode()
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(device)
    keep_memory(large=large)
    torch.set_num_threads(performance.threads)
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(strictness)
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32


def keep_memory(*, large: bool = False) -> None:
    """Have the C library keep freed memory rather than return it, where it can: large tensors come and go each step.

    Page faults otherwise cost a CPU training up to a tenth of its time. Where tensors are `large`, those of 32 MiB and
    more are returned: kept, they leave holes that the next does not fit into. On other systems than Linux nothing
    happens.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    tune(_MMAP_MAX, 65536 if large else 0)
    if large:
        tune(_MMAP_THRESHOLD, 1 << 25)
    tune(_TRIM_THRESHOLD, 2**31 - 1)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("performance.device cuda is not on this machine; set it to cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device(name, int(os.environ["LOCAL_RANK"]))
    return torch.device(name)


def hardware(device: torch.device) -> str:
    """What computes, as far as last bits depend on it: the GPU's name, or the CPU's and the instructions in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor() or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
