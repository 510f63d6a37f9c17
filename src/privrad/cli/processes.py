"""Several processes of one training on this computer, started as torchrun starts them."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Sequence


def wanted(processes: int) -> bool:
    """Whether this process is to start others: it is not one of several itself, as torchrun's variables would say."""
    return processes > 1 and "RANK" not in os.environ


def launch(arguments: Sequence[str], *, processes: int) -> int:
    """Run `privrad` with `arguments` in each of `processes`, which find each other; 0, or a failed one's exit code."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each training sets its own number; unset, torch warns
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # a process that fails tells why itself
    here = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=secrets.token_hex(8),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(here, sys.executable)("-m", "privrad.cli", *arguments)
    except ChildFailedError as error:
        return max(1, error.get_first_failure()[1].exitcode)
    return 0
