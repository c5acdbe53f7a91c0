"""Odd and hostile pictures by the thousand: what is taken, what is refused and why, how long it takes, and whether anything is left.

    python -m bench.photos [COUNT] [SEED]

Makes COUNT files (1,200 unless told) as `tests/odd_photos.py` does, has each cleaned as the program does, and lets our own parser, and
exiftool and mat2 where they are installed, judge what comes out. Ends with 1 when a file that should be taken is refused, one that should
be refused is taken, a refusal has another reason than the right one, or anything of an original is left.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from storage.evidence import WAIT_SECONDS, Cleaner, Refused
from tests.odd_photos import fault_of, left_over, odd_photos


def main(count: int, seed: int) -> int:
    """Clean them all, print the figures, and say with the exit code whether all is well."""
    fates, faults, took = Counter[str](), list[str](), list[float]()
    cleaner, before = Cleaner(), held()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, odd in enumerate(odd_photos(count, seed)):
            begun = time.perf_counter()
            try:
                cleaned = cleaner.clean_now(odd.data)
            except Refused as refused:
                fates[f"refused: {refused.reason}"] += 1
                if odd.fate == "taken" or odd.reason not in ("", refused.reason):
                    faults.append(f"{number} {odd.name}: refused as {refused.reason}")
            else:
                fates["taken"] += 1
                wrong = "taken" if odd.fate == "refused" else fault_of(odd, cleaned)
                faults.extend([f"{number} {odd.name}: {wrong}"] if wrong else [])
                folder.joinpath(f"{number:06}.jpg").write_bytes(cleaned.jpeg)
            took.append(time.perf_counter() - begun)
            if took[-1] > WAIT_SECONDS:
                faults.append(f"{number} {odd.name}: {took[-1]:.1f} s")
        cleaner.close()
        print(f"{count} files, seed {seed}: " + ", ".join(f"{fate} {number}" for fate, number in fates.most_common()))
        print(f"wall time: median {1000 * statistics.median(took):.0f} ms, slowest {1000 * max(took):.0f} ms")
        print(f"this process grew by {(held() - before) / 1024:.0f} MiB")
        judges = [judge for judge in ("exiftool", "mat2") if shutil.which(judge)]
        faults += left_over(folder, slowly=count)
        print(f"judges: our parser{''.join(f', {judge}' for judge in judges)}")
    print("\n".join(faults) or "nothing is left, and every file met the fate it should")
    return 1 if faults else 0


def held() -> int:
    """The most memory this process has held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(given[0] if given else 1200, given[1] if len(given) > 1 else 1))
