"""The `netra` command: help everywhere, one line on standard error when something is wrong, and what scripts rely on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from faq.entries import load_entries
from faq.match import Faq
from storage.store import Store
from tests.known_faq import LIKE, KnownFaq
from tests.whole import NOW, Story

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("cheap_keys")


class Command:
    """Runs commands in this process, as the shell would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def __call__(self, *words: str, said: str = "") -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        out, err = io.StringIO(), io.StringIO()
        self.patch.setattr(sys, "argv", ["netra", *words])
        self.patch.setattr(sys, "stdin", io.StringIO(said))
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        return code, out.getvalue(), err.getvalue()

    def fails(self, *words: str, said: str = "") -> str:
        """The one line that a failing command leaves."""
        code, _, err = self(*words, said=said)
        assert code != 0, f"{words} succeeded"
        assert err.count("\n") == 1 and err.startswith("netra: ") and "Traceback" not in err, err
        return err


@pytest.fixture
def netra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command over a fresh folder, with a FAQ that knows a few questions by heart."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "NETRA_ENV": "test",
        "NETRA_NOW": NOW,
        "NETRA_DATA_DIR": "data",
        "NETRA_KEYS_DIR": "keys",
        "NETRA_RUN_DIR": "run",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Faq, "load", KnownFaq)
    monkeypatch.setattr("bot.main.harden", lambda: None)
    yield Command(monkeypatch)


def commands(app: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group."""
    yield above
    for command in app.registered_commands:
        yield (*above, command.name or command.callback.__name__.replace("_", "-"))
    for group in app.registered_groups:
        yield from commands(group.typer_instance, (*above, group.name))


@pytest.mark.parametrize("words", sorted(commands(cli.app)), ids=" ".join)
def test_every_command_has_help(netra: Command, words: tuple[str, ...]) -> None:
    """It says what the command does, and ends well."""
    code, out, err = netra(*words, "--help")
    assert code == 0 and "Usage:" in out and err == ""
    told = [line for line in out.replace("Usage:", "\nUsage:").splitlines() if line.strip() and "Usage:" not in line]
    assert len(told[0].strip()) > 10


@pytest.mark.parametrize(
    "words", [("nonsense",), ("staff", "nonsense"), ("ask",), ("ask", "a", "b", "c"), ("run", "--fast"), ("staff", "add", "x")]
)
def test_a_wrong_command_line_is_one_line(netra: Command, words: tuple[str, ...]) -> None:
    """Unknown commands, missing or superfluous arguments, unknown options."""
    assert "--help says more" in netra.fails(*words)


def test_no_command_shows_the_help(netra: Command) -> None:
    """Whoever types only the name sees what there is."""
    assert "Usage:" in netra()[1] and "Usage:" in netra("staff")[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ask", "boleh?", "--date", "18-11-2024"), "YYYY-MM-DD"),
        (("audit", "verify", "--head", "rubbish"), "not a line that `netra audit head` printed"),
        (("faq", "eval", "nowhere.tsv"), "no file nowhere.tsv"),
        (("staff", "list"), "netra migrate"),
        (("retention", "run"), "netra migrate"),
        (("whatsapp", "templates", "sync"), "TWILIO_ACCOUNT_SID is not set"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(netra: Command, words: tuple[str, ...], sentence: str) -> None:
    """One sentence with a way forward, and a code other than zero."""
    assert sentence in netra.fails(*words)


def test_wrong_settings_are_named_not_shown(netra: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names each setting; the value may be a secret in the wrong place."""
    monkeypatch.setenv("PORT", "RAHASIA")
    line = netra.fails("staff", "list")
    assert "PORT" in line and "RAHASIA" not in line
    monkeypatch.setenv("PORT", "8080")
    monkeypatch.setenv("NETRA_ENV", "practice")
    assert "NETRA_NOW is only allowed" in netra.fails("staff", "list")


def test_a_database_that_is_not_there_is_one_line(netra: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its address nor its password is printed."""
    monkeypatch.setenv("NETRA_DATABASE_URL", "postgresql://netra:RAHASIA@/nowhere?host=/nowhere")
    line = netra.fails("staff", "list")
    assert "database cannot be used" in line and "RAHASIA" not in line


def test_a_fault_of_ours_is_one_line_without_its_words(netra: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind and place, nothing that the error carries."""
    monkeypatch.setattr(KnownFaq, "ask", lambda *_: int("RAHASIA"))
    line = netra.fails("ask", "boleh?")
    assert "ValueError" in line and "test_cli.py:" in line and "RAHASIA" not in line


# --- the self-check ---------------------------------------------------------------------------------------------------------------------


def test_ask_json_is_one_object_per_line(netra: Command) -> None:
    """The contract for scripts: these keys, these kinds, in the order of the questions."""
    questions = ["bole ga sy like postingan cabup?", "foto pose dua jari", "pak camat bagi-bagi sembako", "apa kabar", ""]
    code, out, err = netra("ask", "--json", "-", said="\n".join(questions) + "\n")
    assert (code, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["question"] for one in found] == questions
    assert [one["outcome"] for one in found] == ["answer", "choose", "report", "decline", "decline"]
    entries = load_entries()
    for one in found:
        assert {"question", "outcome", "entry", "verdict", "confidence", "candidates"} <= set(one)
        assert one["entry"] is None or one["entry"] in entries
        assert one["verdict"] in (None, "dilarang", "boleh", "bersyarat") and 0 <= one["confidence"] <= 1
        for candidate in one["candidates"]:
            assert {"entry", "verdict", "title", "confidence"} <= set(candidate)
    assert (found[0]["entry"], found[0]["verdict"]) == (LIKE, entries[LIKE].verdict)


def test_ask_in_words(netra: Command) -> None:
    """For a person: the act, the verdict, the reason."""
    code, out, _ = netra("ask", "boleh like?", "--date", "2024-11-25")
    assert code == 0 and load_entries()[LIKE].title in out and "DILARANG" in out


# --- operation --------------------------------------------------------------------------------------------------------------------------


def test_teams_and_lost_factors_from_the_shell(netra: Command, cheap_keys: None) -> None:
    """A team gets its receivers, a lost second factor is forgotten, an account goes; each step is in the log, each refusal has a reason."""
    assert netra("migrate")[0] == 0
    assert "--group" in netra("staff", "add", "--help")[1]
    assert netra("staff", "add-team", "Tim Lampung Timur", "--region", "18.07")[0] == 0
    assert "Tim Lampung Timur\t18.07" in netra("staff", "teams")[1]
    assert "18.07" in netra.fails("staff", "add-team", "Tim X", "--region", "Lampung")
    assert netra("staff", "add", "sari", "--role", "reviewer", "--group", "Tim Lampung Timur")[0] == 0
    assert "netra staff teams" in netra.fails("staff", "add", "budi", "--role", "reviewer", "--group", "Tim Entah")
    line = next(line for line in netra("staff", "list")[1].splitlines() if line.startswith("sari"))
    assert line.split("\t")[1:] == ["active", "reviewer", "Tim Lampung Timur", "no second factor"]
    assert "sari has no second factor now" in netra("staff", "reset-factor", "sari")[1]
    assert "no account" in netra.fails("staff", "reset-factor", "siapa")
    assert netra("staff", "add", "tono", "--role", "auditor")[0] == 0
    assert netra("staff", "remove", "tono")[0] == 0
    assert "tono\tremoved" in netra("staff", "list")[1]
    with contextlib.closing(sqlite3.connect("data/netra.db")) as connection:
        acts = [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY id")]
    assert {"team_added", "staff-added", "factor_reset", "account_removed", "receivers_signed"} <= set(acts)


def test_the_list_of_receivers_from_the_shell(netra: Command, cheap_keys: None) -> None:
    """Whole after each command; a row that somebody slipped in is named and not signed; a broken list is made anew only when asked to."""
    assert netra("migrate")[0] == 0
    netra("staff", "add", "sari", "--role", "reviewer")
    assert "The list is whole: 1 receivers" in netra("receivers", "check")[1]
    assert netra("receivers", "list")[1].rstrip().endswith("founding")
    assert "nothing to sign" in netra.fails("receivers", "sign")
    with contextlib.closing(sqlite3.connect("data/netra.db")) as connection:
        true = connection.execute("SELECT public_key FROM staff").fetchone()[0]
        connection.execute("UPDATE staff SET public_key = zeroblob(32)")
        connection.commit()
    assert "NOT SIGNED" in netra("receivers", "list")[1]
    assert "sari" in netra.fails("receivers", "check")
    assert "receivers: not in the signed list" in netra("doctor")[1]
    with contextlib.closing(sqlite3.connect("data/netra.db")) as connection:
        connection.execute("UPDATE staff SET public_key = ?", (true,))
        connection.execute("DELETE FROM signed_receivers")
        connection.commit()
    assert "missing" in netra.fails("receivers", "check")
    assert "--yes" in netra.fails("receivers", "sign")
    assert netra("receivers", "sign", "--yes")[0] == 0
    assert netra("receivers", "check")[0] == 0


def test_accounts_from_the_shell(netra: Command) -> None:
    """Made with a passphrase that is printed once, listed without it, refused when wrong; each step is in the log."""
    assert netra("migrate")[0] == 0
    code, out, _ = netra("staff", "add", "penelaah", "--role", "reviewer", "--role", "verifier")
    assert code == 0 and "passphrase: " in out
    passphrase = out.split("passphrase: ")[1].strip()
    assert len(passphrase) > 20
    listed = netra("staff", "list")[1]
    assert "penelaah" in listed and "reviewer" in listed and passphrase not in listed
    assert "penelaah" in netra("receivers", "list")[1]
    netra.fails("staff", "add", "penelaah", "--role", "reviewer")
    netra.fails("staff", "add", "orang", "--role", "raja")
    head = netra("audit", "head")[1].strip()
    assert netra("audit", "verify", "--head", head)[0] == 0
    with contextlib.closing(sqlite3.connect("data/netra.db")) as connection:
        connection.execute("UPDATE audit SET action = 'nothing' WHERE id = 1")
        connection.commit()
    assert "changed" in netra.fails("audit", "verify", "--head", head)


def test_retention_says_what_it_removed(netra: Command) -> None:
    """One line for each kind of thing, on an empty house all zero."""
    netra("migrate")
    code, out, _ = netra("retention", "run")
    assert code == 0 and "tips: 0" in out and all(line.rpartition(": ")[2].isdigit() for line in out.splitlines())


def test_doctor_says_what_works(netra: Command) -> None:
    """One line for each part; a zero only when all is well."""
    netra("migrate")
    code, out, _ = netra("doctor")
    assert code == 0 and "database: ok" in out and "disk: " in out


def test_a_pipe_talks_with_the_same_conversations(tmp_path: Path) -> None:
    """`netra chat` fed by a pipe: greeting, answers by word and number, photos by path, an end without an error."""
    photo = tmp_path / "foto.jpg"
    from tests.test_evidence import jpeg

    photo.write_bytes(jpeg())
    story = Story()
    lines = ["lapor", "3", "1", story.words["tip.where"], "1", "kemarin", f"@{photo}", "batal"]
    environment = os.environ | {
        "NETRA_ENV": "test",
        "NETRA_NOW": NOW,
        "NETRA_DATA_DIR": str(tmp_path / "d"),
        "NETRA_KEYS_DIR": str(tmp_path / "k"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bot", "chat"],
        input="\n".join(lines) + "\n",
        env=environment | {"NETRA_RUN_DIR": str(tmp_path / "r")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for words in ("Netra", "Pelanggaran apa", "Kapan kejadiannya", "Dibatalkan"):
        assert words in done.stdout


# --- the process ------------------------------------------------------------------------------------------------------------------------


def test_the_process_keeps_to_itself() -> None:
    """No core dump, not dumpable, files for the owner alone: looked at in a process of its own."""
    script = (
        "import ctypes, os, resource; from bot.main import harden; harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), oct(os.umask(0o022)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0) 0 0o77"


def test_a_second_start_is_one_line(tmp_path: Path) -> None:
    """`netra run` on a data folder where another one works."""
    environment = os.environ | {"NETRA_ENV": "test", "NETRA_DATA_DIR": str(tmp_path), "NETRA_KEYS_DIR": str(tmp_path / "k")}
    first = Store(f"sqlite:///{tmp_path / 'netra.db'}", lock_folder=tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "run"],
        env=environment | {"NETRA_RUN_DIR": str(tmp_path / "r")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    first.close()
    assert done.returncode == 1 and done.stderr.startswith("netra: Netra is already running on this data folder.")
    assert done.stderr.count("\n") == 1
