"""A small Procfile runner: starts what the Procfile names, each process with its own port, and ends or kills them one by one."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Started:
    """A process of the Procfile with its ports and its log."""

    kind: str
    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Procfile:
    """The Procfile of the project, run in `folder` with these settings."""

    folder: Path
    environment: Mapping[str, str]
    running: list[Started] = field(default_factory=list)
    started: int = 0

    @staticmethod
    def commands() -> dict[str, list[str]]:
        """Every command by its name; the console script is the one of this interpreter where the project has no environment of its own."""
        found = {}
        for line in (ROOT / "Procfile").read_text().splitlines():
            name, _, command = line.partition(":")
            program, *rest = shlex.split(command)
            own = ROOT / program
            found[name.strip()] = [str(own if own.exists() else Path(sys.executable).with_name(own.name)), *rest]
        return found

    async def release(self) -> None:
        """Run the release step."""
        process = await self._spawn("release", 0, self.folder / "release.log")
        assert await process.wait() == 0, (self.folder / "release.log").read_text()

    async def start(self, kind: str) -> Started:
        """Start one more process of a kind; returns when it listens."""
        self.started += 1
        port, log = free_port(), self.folder / f"{kind}-{self.started}.log"
        one = Started(kind, await self._spawn(kind, port, log), port, log)
        self.running.append(one)
        await self._listens(one)
        return one

    async def end(self, one: Started, sign: signal.Signals = signal.SIGTERM) -> int:
        """End one process with a signal; its exit status."""
        self.running.remove(one)
        one.process.send_signal(sign)
        return await asyncio.wait_for(one.process.wait(), 30)

    async def stop(self) -> None:
        """End all."""
        for one in list(self.running):
            await self.end(one)

    async def _spawn(self, kind: str, port: int, log: Path) -> asyncio.subprocess.Process:
        names = {"PORT": str(port), "NETRA_PANEL_PORT": str(port)}
        with log.open("wb") as out:
            return await asyncio.create_subprocess_exec(
                *self.commands()[kind], cwd=self.folder, env={**os.environ, **self.environment, **names}, stdout=out, stderr=out
            )

    @staticmethod
    async def _listens(one: Started) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                assert one.process.returncode is None, one.log.read_text()
                try:
                    async with session.get(f"{one.url}/healthz"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        raise AssertionError(f"{one.kind} does not listen")
