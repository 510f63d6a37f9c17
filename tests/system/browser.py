"""Headless Chromium, run once a page, with every request caught on the way out."""

from __future__ import annotations

import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    *("--disable-default-apps", "--disable-extensions", "--disable-client-side-phishing-detection", "--no-pings"),
    *(
        "--enable-logging=stderr",
        "--log-level=0",
        "--virtual-time-budget=3000",
        "--disable-features=NetworkTimeServiceQuerying,OptimizationHints",
    ),
)

CHATTER = (".google.com", ".gvt1.com", ".googleapis.com")
ASSETS = ("fonts.", "ajax.", "storage.")


def program() -> str | None:
    """The browser's path, or None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass(frozen=True)
class Visit:
    """What came of opening a page: its tree, what the console said, and the hosts that it asked for."""

    tree: str
    console: list[str]
    hosts: list[str]


@contextmanager
def _watch() -> Iterator[tuple[int, list[str]]]:
    """A proxy on this machine that answers nothing and notes the first line of every request."""
    seen: list[str] = []

    class Note(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            seen.append(self.rfile.readline(2000).decode("latin-1").strip())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Note) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()


def visit(page: Path, *, width: int = 1000, height: int = 1200, screenshot: Path | None = None) -> Visit:
    """Open a local page at a width and height in CSS pixels; with `screenshot`, also take its picture."""
    with _watch() as (port, seen), tempfile.TemporaryDirectory() as profile:
        proxied = [f"--proxy-server=http://127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>"]
        command = [str(program()), *FLAGS, *proxied, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        taken = [f"--screenshot={screenshot}"] if screenshot else ["--dump-dom"]
        environment = os.environ | {"HOME": profile}
        done = subprocess.run(
            [*command, *taken, page.resolve().as_uri()], capture_output=True, timeout=60, env=environment, check=True
        )
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    return Visit(done.stdout.decode(), said, [host for host in map(_host, seen) if not _by_itself(host)])


def _host(line: str) -> str:
    """The host in the first line of a request to a proxy: "GET http://host/path" or "CONNECT host:443"."""
    target = line.split(" ")[1] if " " in line else line
    return target.removeprefix("http://").split("/")[0].split(":")[0]


def _by_itself(host: str) -> bool:
    """Whether Chromium asks for this host of its own accord, whatever page is open; a blank one is a probe."""
    return not host or (host.endswith(CHATTER) and not host.startswith(ASSETS))
