"""The cost of planning the paper's studies, against planning a workflow of one rule, and how it grows with images.

    python -m bench.dag

Each study of the paper is planned by `snakemake --dry-run`, from the start of the program to its end, over tables of
its cohorts' true size, and once more over tables of ten times as many images. It runs in a copy of the project, so that
no result that is there already leaves anything out.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import tables

PROJECT = Path(__file__).parents[1]
PARTS = ("src", "workflow", "profiles", "resources", "studies", "Snakefile")
IMAGES = {"UKA_CXR_ROOT": 193_311, "MIMIC_CXR_JPG_ROOT": 377_110, "PDAC_ROOT": 1625}
STUDIES = {"paper_uka_cxr": ("UKA_CXR_ROOT", "MIMIC_CXR_JPG_ROOT"), "paper_pdac": ("PDAC_ROOT",)}
ONE_RULE = 'rule all:\n    output:\n        "done",\n    shell:\n        "touch {output}"\n'
BOUND, REPEATS, TIMES = 10, 5, 10


@dataclass(frozen=True)
class Planned:
    """What one dry run took, in seconds by the clock and of the processor, and how many jobs of rules it plans."""

    seconds: float
    cpu_seconds: float
    jobs: int


def cohorts(folder: Path, *, times: int) -> dict[str, str]:
    """The tables of each cohort with so many times its images, by the variable that names its folder."""
    rng = np.random.default_rng(3)
    for name in IMAGES:
        (folder / name).mkdir(parents=True)
    tables.uka(folder / "UKA_CXR_ROOT", rng, IMAGES["UKA_CXR_ROOT"] * times)
    tables.mimic(folder / "MIMIC_CXR_JPG_ROOT", rng, IMAGES["MIMIC_CXR_JPG_ROOT"] * times)
    scans = (f"{scan:06d}.nii.gz,{scan},F,64,,,train,no" for scan in range(IMAGES["PDAC_ROOT"] * times))
    header = "scan,patient_id,sex,age,scanner,phase,split,pdac"
    (folder / "PDAC_ROOT" / "pdac.csv").write_text("\n".join((header, *scans)) + "\n")
    return {name: str(folder / name) for name in IMAGES}


def plan(folder: Path, *arguments: str, **environment: str) -> Planned:
    """Plan the workflow in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2", *arguments]
    surroundings = {**os.environ, "PYTHONPATH": str(folder / "src"), **environment}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    total = re.search(r"^total +(\d+)$", done.stdout, re.M)
    if done.returncode or total is None:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Planned(seconds, used, int(total[1]))


def row(study: str, *, project: Path, single: Path, roots: dict[str, str], larger: dict[str, str]) -> dict[str, object]:
    """One study: its dry run and that of the yardstick in turn, and the jobs over the larger tables."""
    chosen = ("--configfile", f"studies/{study}.yaml")
    turns = [(plan(project, *chosen, **roots), plan(single)) for _ in range(REPEATS)]
    ours, yardsticks = zip(*turns, strict=True)
    taken, plain = (statistics.median(each.seconds for each in runs) for runs in (ours, yardsticks))
    grown = plan(project, *chosen, **larger)
    return {
        "claim": f"the paper's study is planned in under {BOUND} seconds, by as many jobs for {TIMES} times the images",
        "study": study,
        "size": [IMAGES[root] for root in STUDIES[study]],
        "jobs": ours[0].jobs,
        "jobs_of_ten_times_the_images": grown.jobs,
        "seconds": round(taken, 2),
        "bound": BOUND,
        "seconds_of_ten_times_the_images": round(grown.seconds, 2),
        "yardstick_seconds": round(plain, 2),
        "ratio": round(taken / plain, 2),
        "cpu_seconds": round(statistics.median(each.cpu_seconds for each in ours), 2),
    }


def main() -> None:
    """Print one JSON line a study."""
    with tempfile.TemporaryDirectory() as folder:
        project, single = Path(folder) / "project", Path(folder) / "single"
        for part in PARTS:
            copy = shutil.copytree if (PROJECT / part).is_dir() else shutil.copy
            (project / part).parent.mkdir(parents=True, exist_ok=True)
            copy(PROJECT / part, project / part)
        single.mkdir()
        (single / "Snakefile").write_text(ONE_RULE)
        ledger = {"PRIVRAD_LEDGER": str(Path(folder) / "ledger.jsonl")}
        roots, larger = (cohorts(Path(folder) / str(times), times=times) | ledger for times in (1, TIMES))
        for study in STUDIES:
            print(json.dumps(row(study, project=project, single=single, roots=roots, larger=larger)), flush=True)


if __name__ == "__main__":
    main()
