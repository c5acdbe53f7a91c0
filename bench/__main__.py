"""Every goal in its short form, under ten minutes: `python -m bench [--only NAME ...]`, or `make bench`.

Runs one command after another, reads the figures out of what they print, and writes the table into `bench/RESULTS.md` and both READMEs,
between the marks that stand there. What a machine that does other things at the same time cannot show is shown as it was measured.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faq.entries import load_entries, load_phrasings

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "bench" / "RESULTS.md", ROOT / "README.md", ROOT / "README.id.md")
BEGIN, END = "<!-- goals: written by `make bench` -->", "<!-- /goals -->"
QUESTIONS = 300


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure: where it stands in the output, and when it is good enough."""

    name: str
    pattern: str
    target: str
    met: Callable[[float], bool]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """One command with the goals that it measures."""

    name: str
    command: tuple[str, ...]
    goals: tuple[Goal, ...]

    def shown(self) -> str:
        """The command as somebody types it."""
        return " ".join(("python", *self.command))


def most(limit: float) -> Callable[[float], bool]:
    """The goal is at most this."""
    return lambda found: found <= limit


def least(limit: float) -> Callable[[float], bool]:
    """The goal is at least this."""
    return lambda found: found >= limit


BENCHES = (
    Bench(
        "updates",
        ("-m", "bench.updates", "--rounds", "2", "--updates", "800"),
        (
            Goal("G1 update path / raw handler, SQLite", r"^G1 SQLite: ([\d.]+)", "at most 10, better 4", most(10)),
            Goal("G1 the same, PostgreSQL", r"^G1 PostgreSQL: ([\d.]+)", "at most 10, better 4", most(10)),
            Goal("G2 less CPU than the usual bot, SQLite", r"^G2 SQLite: ([\d.]+)", "at least 5", least(5)),
            Goal("G2 the same, PostgreSQL", r"^G2 PostgreSQL: ([\d.]+)", "at least 3.5", least(3.5)),
            Goal("G3 PostgreSQL's CPU / the usual bot's", r"^G3: PostgreSQL ([\d.]+)", "at most 0.2", most(0.2)),
            Goal("G4 answered 200 and lost after kill -9", r"^G4: .*?: (\d+) lost", "0", most(0)),
        ),
    ),
    Bench(
        "broadcast",
        ("bench/broadcast.py", "--short"),
        (
            Goal("G5 pace at 30/s / allowed", r"^netra +30/s  achieved ([\d.]+)", "at least 0.97", least(0.97)),
            Goal("G5 fullest second at 30/s", r"^netra +30/s .*?fullest second ([\d.]+)", "at most 1.01", most(1.01)),
            Goal("G5 pace at 1,000/s / allowed", r"^netra +1000/s  achieved ([\d.]+)", "at least 0.97", least(0.97)),
            Goal("G5 fullest second at 1,000/s", r"^netra +1000/s .*?fullest second ([\d.]+)", "at most 1.01", most(1.01)),
            Goal("G5 pace through faults, net of pauses", r"^netra, faults +1000/s  achieved ([\d.]+)", "at least 0.95", least(0.95)),
            Goal("G7 CPU a message at 1,000/s", r"^netra +1000/s .*?CPU +(\d+) us", "about 500 us", most(600), " us"),
            Goal("G8 memory for 20 times the recipients", r"^ +20,000 .*?\(\+?(-?[\d.]+)\)", "at most 10 MiB", most(10), " MiB"),
            Goal("G10 skipped after ten kill -9", r"skipped (\d+)", "0", most(0)),
            Goal("G10 doubled after ten kill -9", r"doubled (\d+)", "0", most(0)),
        ),
    ),
    Bench(
        "budget",
        ("-m", "bench.budget", "--seconds", "6"),
        (
            Goal("G6 pace of three processes at 1,000/s", r" 1000/s .*?achieved ([\d.]+)", "at least 0.97", least(0.97)),
            Goal("G6 fullest second of three processes", r" 1000/s .*?fullest second ([\d.]+)", "at most 1.01", most(1.01)),
            Goal("G6 statements on the row a second", r" 1000/s .*?statements ([\d.]+)", "at most 12", most(12)),
        ),
    ),
    Bench(
        "jobs",
        ("-m", "bench.jobs", "--jobs", "200"),
        (Goal("G15 the queue's CPU a recipient", r"^procrastinate, .*?a recipient +([\d.]+)", "at most 10 µs", most(10), " µs"),),
    ),
    Bench(
        "photo_loop",
        ("-m", "bench.photo_loop", "--photos", "8", "--rounds", "2"),
        (
            Goal("G11 loop delay p99 with photos of 12 MP", r"^G11 loop delay p99: ([\d.]+)", "at most 5 ms", most(5), " ms"),
            Goal("G11 photos/s / Pillow on one core", r"^G11 photos a second: ([\d.]+)", "1.7 on two idle cores", least(1.7)),
            Goal("G11 CPU a photo / Pillow's", r"^G11 processor time: ([\d.]+)", "at most 1.1", most(1.1)),
        ),
    ),
    Bench(
        "sealing",
        ("-m", "bench.sealing", "3"),
        (
            Goal("G12 sealing and hashing of a photo tip", r"^G12 photo tip: .*? ([\d.]+) %", "at most 5 %", most(5), " %"),
            Goal("G12 sealing a text tip / raw requests", r"^G12 text tip: sealing costs ([\d.]+)", "at most 1.5", most(1.5)),
        ),
    ),
    Bench(
        "webhook_beside",
        ("-m", "bench.webhook_beside", "--rounds", "2"),
        (Goal("G13 webhook p99 while sending 1,000/s / idle", r"^G13 webhook p99: ([\d.]+)", "at most 2", most(2)),),
    ),
    Bench(
        "startup",
        ("-m", "bench.startup", "5"),
        (
            Goal("G14 start to the first 200, CPU / bare imports", r"^G14: ([\d.]+)", "at most 1.1", most(1.1)),
            Goal("G14 idle memory / bare imports", r"^G14: .*?, ([\d.]+) times their memory", "at most 1.2", most(1.2)),
        ),
    ),
    Bench(
        "match",
        ("bench/match.py", "QUESTIONS.tsv", "--questions", "15"),
        (
            Goal("matcher, a question", r"^Netra, later rounds.*?p50 +([\d.]+)", "at most 1,000 us", most(1000), " us"),
            Goal("matcher, false boleh among its own phrasings", r"^false boleh, lines: (none|.*)$", "0", most(0)),
        ),
    ),
)


def questions(path: Path) -> None:
    """A file of phrasings for the matcher's speed, always the same."""
    entries = load_entries()
    rows = [row for row in load_phrasings() if row[1] in entries]
    random.Random(7).shuffle(rows)
    path.write_text("question\texpected\tregister\n" + "".join(f"{words}\t{entry}\t{kind}\n" for kind, entry, words in rows[:QUESTIONS]))


def figure(goal: Goal, output: str) -> str:
    """What was measured, marked where the goal is missed."""
    found = re.search(goal.pattern, output, re.MULTILINE)
    if found is None:
        return "not measured here"
    words = found[1]
    number = 0.0 if words == "none" else float(len(words.split(","))) if not re.fullmatch(r"-?[\d.]+", words) else float(words)
    shown = f"{number:g}{goal.unit}"
    return shown if goal.met(number) else f"**missed:** {shown}"


def run(bench: Bench) -> list[str]:
    """Run one command; its rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "questions.tsv"
        command = [str(path) if part == "QUESTIONS.tsv" else part for part in bench.command]
        if str(path) in command:
            questions(path)
        begun = time.monotonic()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    print(f"== {bench.shown()} ({time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f})\n{done.stdout}", flush=True)
    if done.returncode:
        print(done.stderr[-2000:], flush=True)
    rows = []
    for number, goal in enumerate(bench.goals):
        measured = figure(goal, done.stdout) if not done.returncode else "the command failed"
        rows.append(f"| {goal.name} | {goal.target} | {measured} | {f'`{bench.shown()}`' if not number else 'the same'} |")
    return rows


def written(path: Path, rows: dict[str, list[str]], loads: tuple[float, float]) -> None:
    """Put the rows into a file's table; what was not run this time stays as it was."""
    text = path.read_text("utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    kept = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    lines = []
    for bench in BENCHES:
        fresh = rows.get(bench.name, [])
        lines += fresh or [kept[goal.name] for goal in bench.goals if goal.name in kept]
    earlier = next((line for line in old.splitlines() if line.startswith("`make bench`, ")), "")
    head = f"`make bench`, {dt.date.today().isoformat()}, {os.cpu_count()} cores, load {min(loads):.1f} to {max(loads):.1f}"
    if earlier and len(rows) < len(BENCHES):
        head = earlier.partition("; ")[0] + f"; {', '.join(rows)} again on {dt.date.today().isoformat()}, load {max(loads):.1f}"
    columns = ("| Sasaran | Batas | Terukur | Perintah |" if path.name.endswith(".id.md") else "| Goal | Target | Measured | Command |") + (
        "\n| --- | --- | --- | --- |"
    )
    path.write_text(f"{before}{BEGIN}\n\n{head}\n\n{columns}\n" + "\n".join(lines) + f"\n\n{END}{after}", "utf-8")


def main() -> None:
    """Run all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[bench.name for bench in BENCHES], default=[bench.name for bench in BENCHES])
    chosen = set(parser.parse_args().only)
    before = os.getloadavg()[0]
    rows = {bench.name: run(bench) for bench in BENCHES if bench.name in chosen}
    for path in FILES:
        written(path, rows, (before, os.getloadavg()[0]))
    print("\n".join(line for bench in BENCHES for line in rows.get(bench.name, [])))


if __name__ == "__main__":
    main()
