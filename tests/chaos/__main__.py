"""The long form: `python -m tests.chaos --hours 48 --chats 500 [--postgresql] [--seed 1]`; ends with 1 when a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.updates import LINES
from tests import postgres
from tests.chaos.soak import soak

GROWTH_MIB, FILES = 48.0, 5


def main() -> int:
    """Run it and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=4, help="hours of the test clock")
    parser.add_argument("--chats", type=int, default=500, help="new people in each of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:

        def run(url: str) -> int:
            work = soak(
                Path(name), hours=given.hours, chats=given.chats, seed=given.seed, url=url, told=lambda line: print(line, flush=True)
            )
            found = asyncio.run(work)
            print(f"{found}\n{time.monotonic() - begun:.0f} s")
            expected = given.hours * given.chats * len(LINES)
            kept = (found.acknowledged, found.turns, found.waiting, found.unheard) == (expected, expected, (0, 0), 0)
            return int(not (kept and found.grown_mib <= GROWTH_MIB and found.files_grown <= FILES))

        if not given.postgresql:
            return run("")
        with postgres.server() as address:
            return run(postgres.fresh_database(address))


if __name__ == "__main__":
    sys.exit(main())
