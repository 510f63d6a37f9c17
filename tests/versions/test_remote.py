"""DVC's remote behind a real sshd on loopback, with keys and a port of its own."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.versions.workspace import Workspace

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Server:
    """A running sshd: its port, the key that it lets in, one that it does not, and the folder that it serves."""

    port: int
    key: Path
    wrong_key: Path
    folder: Path
    known_hosts: Path

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.folder}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sshd")
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert sshd is not None, "sshd is missing; install Debian's openssh-server"
    for name in ("host", "key", "wrong"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    log = (folder / "log").open("wb")
    running = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)
    try:
        _wait(port, running)
        (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        (folder / "store").mkdir()
        yield Server(
            port=port,
            key=folder / "key",
            wrong_key=folder / "wrong",
            folder=folder / "store",
            known_hosts=folder / "known",
        )
    finally:
        running.terminate()
        running.wait()
        log.close()


def _wait(port: int, running: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert running.poll() is None, "sshd ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"sshd does not answer at port {port}")


def remote(workspace: Workspace, server: Server, *, key: Path) -> None:
    """Make the server the clone's default remote, as docs/versions.md says; what is personal stays out of git."""
    workspace.done("dvc", "remote", "add", "--default", "--force", "hospital", server.address)
    workspace.done("dvc", "remote", "modify", "--local", "hospital", "keyfile", str(key))


def test_results_travel_over_ssh(home: Workspace, server: Server, tmp_path: Path) -> None:
    sender = home.clone(tmp_path / "sender")
    shutil.copytree(home.folder / ".dvc/cache", sender.folder / ".dvc/cache")
    remote(sender, server, key=server.key)
    sender.commit("the remote")
    sender.done("dvc", "push", "--quiet")
    receiver = sender.clone(tmp_path / "receiver")
    receiver.done("dvc", "remote", "modify", "--local", "hospital", "keyfile", str(server.key))
    run = receiver.make("pull")
    assert run.returncode == 0, run.stdout
    assert receiver.planned() == {}
    page = "results/tiny/report.html"
    assert (receiver.folder / page).read_bytes() == (home.folder / page).read_bytes()


def test_a_key_that_the_server_does_not_know_brings_nothing(home: Workspace, server: Server, tmp_path: Path) -> None:
    receiver = home.clone(tmp_path / "receiver")
    remote(receiver, server, key=server.wrong_key)
    run = receiver.make("pull")
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "Permission denied" in run.stdout
    assert "dvc remote modify --local NAME keyfile" in run.stdout
    assert not (receiver.folder / "results").exists()


def test_without_a_remote_a_pull_says_so(home: Workspace, tmp_path: Path) -> None:
    receiver = home.clone(tmp_path / "receiver")
    receiver.done("dvc", "remote", "remove", "store")
    run = receiver.make("pull")
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    assert "no default remote set" in run.stdout
    assert "dvc remote add" in run.stdout
