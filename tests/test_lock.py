"""The lock names by version and hash what pyproject.toml asks for; and which build of torch pip is kept to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools import torch_build

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-cuda.lock"]
ENTRY = re.compile(r"^[a-z0-9-]+==[\w.]+(?: ; [^:/]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$")

OF_A_CPU_BUILD, OF_AN_INDEX = "a" * 64, "b" * 64
LOCK = f"""\
filelock==4.2 \\
    --hash=sha256:{"c" * 64}
torch==2.13.0 \\
    --hash=sha256:{OF_A_CPU_BUILD} \\
    --hash=sha256:{OF_AN_INDEX}
"""
CUDA_LOCK = f"triton==3.7 ; sys_platform == 'linux' \\\n    --hash=sha256:{'d' * 64}\n"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: Path) -> None:
    text = lock.read_text()
    entries = torch_build.packages(text)
    assert text == "".join(f"{entry}\n" for entry in entries.values())
    assert all(ENTRY.match(entry) for entry in entries.values())


def test_the_lock_names_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    names = {
        re.split(r"[^\w.-]", requirement)[0].lower() for requirement in asked + project["build-system"]["requires"]
    }
    locked = {requirement.split("==")[0] for requirement in torch_build.packages(LOCKS[0].read_text())}
    assert names - locked == set()


def test_what_only_a_cuda_build_needs_is_locked_apart() -> None:
    needs_cuda = re.compile(r"^(?:cuda|nvidia|triton)", re.M)
    assert not needs_cuda.search(LOCKS[0].read_text())
    assert needs_cuda.search(LOCKS[1].read_text())


@pytest.mark.parametrize("digest", [OF_A_CPU_BUILD, OF_AN_INDEX])
def test_pip_is_kept_to_the_build_it_takes_here(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    monkeypatch.setattr(torch_build, "taken_here", lambda requirement: digest)
    assert torch_build.pin(LOCK) == f"torch==2.13.0 --hash=sha256:{digest}\n"


def test_a_build_that_the_lock_does_not_allow_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "taken_here", lambda requirement: "e" * 64)
    assert torch_build.pin(LOCK) == ""


@pytest.mark.parametrize(
    ("requirements", "wanted"),
    [
        (["filelock", "sympy>=1.13.3"], set()),
        (['triton==3.7; platform_system == "Linux"', "filelock"], {"triton"}),
    ],
)
def test_cuda_packages_are_wanted_where_torch_asks_for_them(requirements: list[str], wanted: set[str]) -> None:
    assert torch_build.wanted(CUDA_LOCK, requirements) == wanted
