"""Plant faults in the private engine, one at a time, and run for each the one test that names it.

    python -m tools.mutants [--sample] [--only WORDS] [--tables FOLDER]

The files in `tests/mutants` list them: a line of the package, which must be there exactly once, what it is changed to,
and the test that must then fail by what it asserts; a change that merely breaks the code that it is put in counts as
survived. Each named test must also pass on the package as it is. Prints a line for each and at the end one JSON line;
the exit status is 1 where a fault survives. Every run is a child forked from this process, which has imported what
tests need but nothing of privrad; the child imports a copy of the package.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "tests" / "mutants"
AT_ONCE = 2
SECONDS = 240
"""How long one run may take before it counts as hung."""
WARM: tuple[str, ...] = ("cryptography.hazmat.primitives.kdf.hkdf", "dp_accounting.pld.privacy_loss_distribution")
WARM += ("opacus.grad_sample", "opacus.accountants", "pandas", "pyarrow.parquet", "pydantic", "safetensors.torch")
WARM += ("scipy.stats", "sklearn.metrics", "torch.distributed", "yaml")
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ALONE |= {"JE_ARROW_MALLOC_CONF": "background_thread:false", "PYTHONDONTWRITEBYTECODE": "1"}


BROKEN = re.compile(
    r"\w+: (Name|Import|ModuleNotFound|Syntax|Indentation|UnboundLocal|Type|Attribute|Index|Key|Runtime)Error"
)
"""What a change that makes no sense in its place ends in, rather than the fault that it stands for."""


class TableError(ValueError):
    """A table that no fault can be planted from; the message names the entry and says how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One fault: the `line` of `file` (below src/privrad), with its indentation, that `to` takes the place of."""

    name: str
    pitfall: str
    file: str
    line: str
    to: str
    test: str
    sample: bool = False

    def planted(self, text: str) -> str:
        """The source with the fault; TableError unless the line is there once, and the fault is another line."""
        lines = text.split("\n")
        found = lines.count(self.line)
        if found != 1:
            raise TableError(f"{self.name}: {self.file} has {found} lines {self.line!r}; give one that it has once")
        if self.to == self.line or "\n" in self.to:
            raise TableError(f"{self.name}: {self.to!r} must be one line, and another one than there is")
        lines[lines.index(self.line)] = self.to
        return "\n".join(lines)


def read(tables: Path) -> list[Mutant]:
    """The faults of all tables in a folder; TableError for a table that is none and for two faults of one name."""
    mutants: list[Mutant] = []
    for table in sorted(tables.glob("*.toml")):
        try:
            mutants += [Mutant(**entry) for entry in tomllib.loads(table.read_text(encoding="utf-8"))["mutant"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(f"{table} is no table of [[mutant]] entries: {error}") from None
    names = [mutant.name for mutant in mutants]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TableError(f"two faults are named {min(twice)}; give each a name of its own")
    return mutants


def require_planted(mutant: Mutant, *, package: Path) -> None:
    """Raise TableError where the fault cannot be planted in the package, or its test is not there."""
    source = package / mutant.file
    if not source.is_file():
        raise TableError(f"{mutant.name}: src/privrad has no {mutant.file}; name the file that holds the line now")
    mutant.planted(source.read_text(encoding="utf-8"))
    if _name(mutant.test) not in _functions(ROOT / mutant.test.partition("::")[0]):
        raise TableError(f"{mutant.name}: there is no test {mutant.test}; name the one that must catch this fault")


def _name(test: str) -> str:
    return test.partition("::")[2].partition("[")[0]


def _functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@dataclass
class Watch:
    """A pytest plugin that notes which tests failed, and the first line of why."""

    failed: dict[str, str] = field(default_factory=dict)
    ran: int = 0

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile("first failure", phases=[Phase.explicit, Phase.generate])
        settings.load_profile("first failure")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message if crash else report.longrepr).strip().splitlines()
            self.failed[report.nodeid] = f"{report.when}: {said[0] if said else ''}"


@dataclass(frozen=True)
class Outcome:
    """What one run of tests did: the tests that failed and why, and what is wrong where none could be run."""

    failed: dict[str, str]
    trouble: str
    seconds: float


@dataclass
class Child:
    """A forked process that runs tests against a copy of `package`, with a fault where one is given."""

    tests: Sequence[str]
    mutant: Mutant | None
    package: Path
    scratch: Path

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        sys.stdout.flush()
        self.process = os.fork()
        if not self.process:
            status = 1
            try:
                os.setsid()
                self._work()
                status = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        self.handle = os.pidfd_open(self.process)

    def _work(self) -> None:
        with (self.scratch / "output").open("w") as output:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
        source = copied(self.package, self.mutant, self.scratch)
        os.environ["PYTHONPATH"] = str(source)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self.scratch / "hypothesis")
        sys.path.insert(0, str(source))
        imported = importlib.import_module("privrad").__file__
        if not str(imported).startswith(str(source)):
            raise RuntimeError(f"privrad was imported from {imported}, not from {source}")
        watch = Watch()
        options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={self.scratch / 'tests'}"]
        status = pytest.main([*options, *(["-x"] if self.mutant else []), *self.tests], plugins=[watch])
        known = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        trouble = "" if known and (watch.ran or watch.failed) else f"pytest ended with {status!r}"
        (self.scratch / "told").write_text(json.dumps([watch.failed, trouble]))

    def outcome(self) -> Outcome:
        """What the run did, once it has ended or has taken too long; nothing of it is left running."""
        hung = not select.select([self.handle], [], [], max(0.0, self.began + SECONDS - time.monotonic()))[0]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.handle)
        told, seconds = self.scratch / "told", time.monotonic() - self.began
        if hung or not told.exists():
            output = (self.scratch / "output").read_text(errors="replace").strip().splitlines()[-1:]
            return Outcome({}, f"hung for {SECONDS} s" if hung else f"died: {' '.join(output)}", seconds)
        failed, trouble = json.loads(told.read_text())
        return Outcome(failed, trouble, seconds)


def copied(package: Path, mutant: Mutant | None, scratch: Path) -> Path:
    """A copy of the package in `scratch`, with the fault planted; the folder to import it from."""
    source = scratch / "src"
    shutil.copytree(package, source / "privrad")
    if mutant is not None:
        changed = source / "privrad" / mutant.file
        changed.write_text(mutant.planted(changed.read_text(encoding="utf-8")), encoding="utf-8")
        Path(importlib.util.cache_from_source(str(changed))).unlink(missing_ok=True)
    return source


Job = tuple[Sequence[str], Mutant | None]


def run(jobs: Sequence[Job], *, package: Path) -> Iterator[tuple[Job, Outcome]]:
    """Run each job in a child of its own, AT_ONCE at a time; outcomes in the order in which they come."""
    waiting, running = list(jobs), dict[int, tuple[Job, Child]]()
    with tempfile.TemporaryDirectory() as folder:
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    job, scratch = waiting.pop(0), Path(folder) / str(len(waiting))
                    scratch.mkdir()
                    child = Child(*job, package, scratch)
                    running[child.handle] = job, child
                last = min(child.began for _, child in running.values()) + SECONDS - time.monotonic()
                ended = select.select(list(running), [], [], max(0.0, last))[0]
                for handle in ended or [min(running, key=lambda handle: running[handle][1].began)]:
                    job, child = running.pop(handle)
                    yield job, child.outcome()
                    shutil.rmtree(child.scratch)
        finally:
            for _, child in running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process, signal.SIGKILL)
                os.waitpid(child.process, 0)


def sound(tests: Sequence[str], *, package: Path, tell: Callable[[str], Any]) -> dict[str, str]:
    """Run each test on the package as it is; those that do not pass, and why."""
    by_file: dict[str, list[str]] = {}
    for test in sorted(set(tests)):
        by_file.setdefault(test.partition("::")[0], []).append(test)
    wrong: dict[str, str] = {}
    for (own, _), outcome in run([(own, None) for own in by_file.values()], package=package):
        if outcome.trouble:
            wrong |= dict.fromkeys(own, outcome.trouble)
        for failed, why in outcome.failed.items():
            wrong |= {test: why for test in own if _name(failed) == _name(test)}
        tell(f"clean     {own[0].partition('::')[0]}: {len(own)} named, {outcome.seconds:.1f} s")
    return wrong


def verdict(outcome: Outcome) -> str:
    """Caught where a test failed by what it asserts; why not, where the fault survived or broke what it was put in."""
    if outcome.trouble:
        return outcome.trouble
    if not outcome.failed:
        return "survived"
    return "broke" if any(BROKEN.match(why) for why in outcome.failed.values()) else "caught"


def plant(mutants: Sequence[Mutant], *, tell: Callable[[str], Any]) -> dict[str, Any]:
    """Plant each fault in a copy of the package and run its test: how many were caught, and which were not."""
    survived: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "privrad"
        shutil.copytree(ROOT / "src" / "privrad", package)
        for mutant in mutants:
            require_planted(mutant, package=package)
        wrong = sound([mutant.test for mutant in mutants], package=package, tell=tell)
        for test, why in wrong.items():
            tell(f"fails     {test} without any fault: {why}")
        jobs: list[Job] = [([mutant.test], mutant) for mutant in mutants]
        for (_, planted), outcome in run(jobs, package=package):
            assert planted is not None
            said = "its test fails without it:" if planted.test in wrong else verdict(outcome)
            if said != "caught":
                survived.append(planted.name)
            why = next(iter(outcome.failed.values()), "")[:100]
            tell(f"{said:9} {planted.name}, {outcome.seconds:.1f} s ({planted.file}; {planted.test}; {why})")
    return {"planted": len(mutants), "caught": len(mutants) - len(survived), "survived": sorted(survived)}


def warm() -> None:
    """Import what tests need, other than privrad and the tests themselves, so that no child has to."""
    os.environ.update(ALONE)
    for name in WARM:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    if early := sorted(name for name in sys.modules if name.partition(".")[0] == "privrad"):
        raise RuntimeError(f"{early[0]} is imported before a child could import its own; take it out of WARM")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--sample", action="store_true", help="those with sample = true alone")
    parser.add_argument("--only", default="", help="those alone whose name, file or test has these words")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        chosen = [
            mutant
            for mutant in read(options.tables)
            if (mutant.sample or not options.sample) and options.only in f"{mutant.name} {mutant.file} {mutant.test}"
        ]
        if not chosen:
            raise TableError(f"no fault of {options.tables} has the words {options.only!r}; nothing was planted")
        warm()
        found = plant(chosen, tell=lambda line: print(line, flush=True))
    except TableError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({**found, "seconds": round(time.monotonic() - began, 1)}))
    return 1 if found["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
