"""An unfinished training on disk: weights, optimiser and step, so that a killed one goes on bit for bit."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from privrad import files

log = logging.getLogger("privrad")

WEIGHTS = "weights."
OPTIMISER = "optimiser."


@dataclass
class State:
    """A file that holds how far one training has come; without a path nothing is kept.

    `owner` says in digits which training of which inputs it belongs to: a state of another owner is never resumed.
    An `expendable` training starts afresh where it finds one, others raise. `minutes` lie between two writings; 0
    writes after every step. Only a process that `writes` writes, all may read.
    """

    path: Path | None = None
    owner: str = ""
    minutes: float = math.inf
    expendable: bool = False
    writes: bool = True
    _written: float = field(default_factory=time.monotonic, init=False)

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, dict[str, Any]]:
        """Load weights and optimiser in place; the number of steps that are done and the facts kept, 0 and {} afresh.

        Raises ValueError for a file that is damaged or belongs to another training; the message says how to go on.
        """
        if self.path is None or not self.path.exists():
            return 0, {}
        told, tensors = _read(self.path)
        if told["owner"] != self.owner:
            if self.expendable:
                log.info("checkpoint %s belongs to other inputs, settings or versions: training afresh", self.path)
                return 0, {}
            raise ValueError(
                f"checkpoint {self.path} belongs to a training with other inputs, settings or versions; delete it, "
                "and the training starts afresh"
            )
        _load(self.path, model, optimiser, tensors)
        log.info("going on from checkpoint %s, after step %d", self.path, told["step"])
        return int(told["step"]), dict(told["facts"])

    def keep(
        self, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write the state after `step` steps where the time has come; `facts` must be JSON."""
        if self.path is None or not self.writes or time.monotonic() - self._written < 60 * self.minutes:
            return
        tensors = _tensors(model, optimiser)
        told = {"owner": self.owner, "step": step, "facts": dict(facts or {})}
        told["sha256"] = _digest(told, tensors)
        with files.atomic(self.path, mode=files.PRIVATE) as temporary:
            save_file(tensors, temporary, metadata={"privrad": json.dumps(told, sort_keys=True)})
        self._written = time.monotonic()

    def delete(self) -> None:
        """Remove the file, where there is one."""
        if self.path is not None and self.writes:
            self.path.unlink(missing_ok=True)


def _tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights by name, and what the optimiser keeps of each parameter by the parameter's place."""
    tensors = {f"{WEIGHTS}{name}": value for name, value in model.state_dict().items()}
    for place, parameter in enumerate(_parameters(optimiser)):
        for name, value in optimiser.state[parameter].items():
            tensors[f"{OPTIMISER}{place}.{name}"] = value
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _load(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    shapes = {name: value.shape for name, value in weights.items()}
    if shapes != {name: value.shape for name, value in model.state_dict().items()}:
        raise ValueError(f"checkpoint {path} holds another network; delete it, and the training starts afresh")
    model.load_state_dict(weights)
    for place, parameter in enumerate(_parameters(optimiser)):
        prefix = f"{OPTIMISER}{place}."
        optimiser.state[parameter] = {
            name.removeprefix(prefix): value.to(parameter.device) if value.ndim else value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as stored:
            told = json.loads((stored.metadata() or {})["privrad"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if told.pop("sha256") != _digest(told, tensors):
            raise ValueError("its content is not what was written")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"checkpoint {path} is cut short or damaged ({error}); delete it: the same steps are then repeated from "
            "the first on, with the same randomness and at no further charge"
        ) from None
    return told, tensors


def _digest(told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
