"""Goal G11: what people wait while photos of 12 megapixels are cleaned, and how many photos a second that makes.

    python -m bench.photo_loop [--photos 12] [--rounds 3]

In one event loop a clock ticks every 2 ms while the cleaner works on photos, two at once, as in the program; every tick that comes late is
time in which nobody was answered. Beside it, round after round, Pillow alone decodes and encodes the same photos in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.updates import ROOT
from bench.vault import photo
from storage.decoder import QUALITY, clean
from storage.evidence import Cleaner

TICK = 0.002


def alone(folder: Path) -> tuple[float, float, float]:
    """Pillow in one process, decoded and encoded anew without metadata: seconds, its processor seconds, and those of our cleaning."""
    photos = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    begun, used = time.perf_counter(), time.process_time()
    for one in photos:
        with Image.open(io.BytesIO(one)) as stored:
            stored.info = {}
            stored.save(io.BytesIO(), "JPEG", quality=QUALITY)
    took, cost = time.perf_counter() - begun, time.process_time() - used
    for one in photos:
        clean(one)
    return took, cost, time.process_time() - used - cost


def pillow(folder: Path, number: int) -> tuple[float, float]:
    """Photos a second of Pillow alone, its start not counted; the processor time of our cleaning beside Pillow's."""
    command = [sys.executable, "-m", "bench.photo_loop", "--alone", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    took, cost, ours = (float(part) for part in done.stdout.split())
    return number / took, ours / cost


async def ticking(late: list[float], stop: asyncio.Event) -> None:
    """Note by how many milliseconds each tick of the clock comes late."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        late.append(1000 * (loop.time() - due))


async def cleaned(cleaner: Cleaner, photos: Sequence[bytes]) -> tuple[float, list[float]]:
    """Photos a second, and the delays of the loop meanwhile."""
    late: list[float] = []
    stop = asyncio.Event()
    clock = asyncio.create_task(ticking(late, stop))
    begun = time.perf_counter()
    await asyncio.gather(*(cleaner.clean(one) for one in photos))
    took = time.perf_counter() - begun
    stop.set()
    await clock
    return len(photos) / took, late


async def quiet(seconds: float) -> list[float]:
    """The delays of a loop with nothing else to do: what the machine itself adds."""
    late: list[float] = []
    stop = asyncio.Event()
    clock = asyncio.create_task(ticking(late, stop))
    await asyncio.sleep(seconds)
    stop.set()
    await clock
    return late


def at(share: float, values: Sequence[float]) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure(photos: Sequence[bytes], folder: Path, rounds: int) -> None:
    """Measure and print."""
    cleaner = Cleaner()
    await cleaner.clean(photos[0])
    ratios: list[float] = []
    costs: list[float] = []
    late: list[float] = []
    idle: list[float] = []
    for _ in range(rounds):
        bare, cost = await asyncio.to_thread(pillow, folder, len(photos))
        idle += await quiet(1.0)
        speed, delays = await cleaned(cleaner, photos)
        late += delays
        ratios.append(speed / bare)
        costs.append(cost)
        print(f"cleaner {speed:5.1f} photos/s   Pillow alone {bare:5.1f} photos/s   load {os.getloadavg()[0]:.1f}")
    cleaner.close()
    print(f"loop delay, idle: p50 {at(0.5, idle):.1f} ms, p99 {at(0.99, idle):.1f} ms")
    print(f"loop delay, with photos: p50 {at(0.5, late):.1f} ms, most {max(late):.1f} ms")
    print(f"G11 loop delay p99: {at(0.99, late):.1f} ms (goal: 5)")
    print(f"G11 photos a second: {statistics.median(ratios):.2f} times Pillow on one core (goal: 1.7 on two idle cores)")
    print(f"G11 processor time: {statistics.median(costs):.2f} times Pillow's (goal: 1.1)")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(*alone(given.alone))
        return
    with tempfile.TemporaryDirectory() as name:
        photos = [photo(seed) for seed in range(4)] * max(1, given.photos // 4)
        for number, one in enumerate(photos):
            (Path(name) / f"{number}.jpg").write_bytes(one)
        asyncio.run(measure(photos, Path(name), given.rounds))


if __name__ == "__main__":
    main()
