"""Goal G14: from the start to the first 200, and the memory of an idle server, beside the bare imports of its libraries.

    python -m bench.startup [ROUNDS]

Both run in turn, round after round, on an installation whose database and keys are there already; medians of the rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.updates import ROOT, spent
from tests.scale.procfile import free_port

IMPORTS = "import aiohttp.web, sqlalchemy.ext.asyncio, sqlite3, telegram, nacl.secret, nacl.public; print(flush=True); input()"
IDLE_SECONDS = 3.0


def memory(pid: int) -> float:
    """Resident MiB of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def imports() -> tuple[float, float, float]:
    """Processor seconds, wall seconds and MiB of the bare imports."""
    begun = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", IMPORTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = spent(process.pid), time.perf_counter() - begun, memory(process.pid)
        process.kill()
    return found


def server(folder: Path) -> tuple[float, float, float]:
    """The same of the program until its first 200; the memory when it has been idle for a while."""
    port = free_port()
    names = {
        "NETRA_ENV": "test",
        "NETRA_DATA_DIR": str(folder / "data"),
        "NETRA_KEYS_DIR": str(folder / "keys"),
        "NETRA_RUN_DIR": str(folder / "run"),
        "TELEGRAM_TOKEN": "123456789:AAF-fake_token-of-the-bench_0123456789",
        "TELEGRAM_API_URL": "http://127.0.0.1:9",
        "PORT": str(port),
        "NETRA_PANEL_PORT": str(free_port()),
    }
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "run"], cwd=ROOT, env={**os.environ, **names}, stdout=subprocess.DEVNULL
    ) as process:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, "the program ended"
                time.sleep(0.01)
        cost, wall = spent(process.pid), time.perf_counter() - begun
        time.sleep(IDLE_SECONDS)
        found = cost, wall, memory(process.pid)
        process.terminate()
    return found


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        server(Path(name))
        pairs = [(server(Path(name)), imports()) for _ in range(rounds)]
    ours, bare = (tuple(statistics.median(column) for column in zip(*side, strict=True)) for side in zip(*pairs, strict=True))
    cpu, rss = (statistics.median(one[place] / other[place] for one, other in pairs) for place in (0, 2))
    for label, (cost, wall, size) in (("netra run", ours), ("bare imports", bare)):
        print(f"{label:14s} {cost:5.2f} s CPU  {wall:5.2f} s until ready  {size:5.0f} MiB")
    print(f"G14: {cpu:.2f} times the imports' CPU (goal: 1.1), {rss:.2f} times their memory (goal: 1.2)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
