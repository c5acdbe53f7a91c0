"""How fast, how big and how good the matcher is, beside what rapidfuzz does with the same phrasings.

    python bench/match.py QUESTIONS.tsv [--questions 200]

QUESTIONS.tsv holds question, expected and register, as `netra faq eval` reads it. Times are processor time of one thread, so that a busy
machine does not count; the wall clock is printed beside them. The first round meets cold caches, the others do not.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from faq.entries import REPORT, load_entries, load_phrasings
from faq.evaluate import OUTSIDE, evaluate, read_questions
from faq.match import Faq

ROUNDS = 5


def timed(questions: list[str], ask: Callable[[str], object]) -> tuple[list[float], list[float]]:
    """Processor time and wall time of each question, in microseconds, shortest first."""
    busy, wall = [], []
    for question in questions:
        clock, begun = time.thread_time_ns(), time.perf_counter_ns()
        ask(question)
        busy.append((time.thread_time_ns() - clock) / 1000)
        wall.append((time.perf_counter_ns() - begun) / 1000)
    return sorted(busy), sorted(wall)


def best_of(questions: list[str], ask: Callable[[str], object]) -> tuple[list[float], list[float]]:
    """The same, each question's best of some rounds: what it costs when no neighbour is in the way."""
    rounds = [[timed([question], ask) for question in questions] for _ in range(ROUNDS * 2)]
    busy, wall = ([min(one[kind][0] for one in same) for same in zip(*rounds, strict=True)] for kind in (0, 1))
    return sorted(busy), sorted(wall)


def at(times: list[float], share: float) -> float:
    """The time that this share of the questions stays under."""
    return times[min(len(times) - 1, int(len(times) * share))]


def line(name: str, busy: list[float], wall: list[float], rest: str = "") -> None:
    """Print one matcher."""
    times = "".join(f"  p{round(share * 100)} {at(busy, share):7.0f}" for share in (0.5, 0.95, 0.99))
    print(f"{name:34s}{times}   wall p95 {at(wall, 0.95):7.0f}   {rest}")


def weight_of_loading() -> str:
    """Load in a fresh process: seconds and memory."""
    code = (
        "import time, resource; begun = time.perf_counter()\n"
        "from faq.match import Faq\n"
        "imported = time.perf_counter(); bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "faq = Faq.load(); faq.warm(); loaded = time.perf_counter()\n"
        "[faq.ask(line.split('\\t')[0]) for line in open(__import__('sys').argv[1], encoding='utf-8')]\n"
        "whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(f'import {imported - begun:.2f} s, load {loaded - imported:.2f} s, memory {whole / 1024:.0f} MB in all, '\n"
        "    f'{bare / 1024:.0f} MB of it before loading')"
    )
    return subprocess.run([sys.executable, "-c", code, sys.argv[1]], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--questions", type=int, default=200, help="how many questions rapidfuzz gets")
    given = parser.parse_args()
    asked = read_questions(given.file)
    questions = [one.question for one in asked]

    print(weight_of_loading())
    faq = Faq.load()
    line("Netra, first round (us)", *timed(questions, faq.ask))
    line("Netra, later rounds (us)", *timed(questions * ROUNDS, faq.ask))
    line("Netra, best of the rounds (us)", *best_of(questions, faq.ask))

    from rapidfuzz import fuzz, process

    entries = load_entries()
    known = [(name, phrasing) for _, name, phrasing in load_phrasings() if name in entries]
    phrasings = [phrasing.lower() for _, phrasing in known]
    few = asked[:: max(1, len(asked) // given.questions)]
    for scorer in (fuzz.WRatio, fuzz.token_set_ratio):

        def best(question: str) -> str:
            return known[process.extractOne(question.lower(), phrasings, scorer=scorer)[2]][0]  # noqa: B023

        inside = [one for one in few if one.inside]
        right = sum(1 for one in inside if best(one.question) in one.expected)
        boleh = sum(
            1
            for one in few
            if entries[best(one.question)].verdict == "boleh"
            and not any(entries[name].verdict == "boleh" for name in one.expected - {OUTSIDE, REPORT})
        )
        busy, wall = timed([one.question for one in few], best)
        line(f"rapidfuzz {scorer.__name__} (us)", busy, wall, f"top-1 {100 * right / len(inside):.1f} %, false boleh {boleh} of {len(few)}")

    print(f"{len(phrasings)} phrasings of {len(entries)} entries; {len(questions)} questions\n")
    print(evaluate(faq, given.file).to_text())
    print(f"\nmemory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
