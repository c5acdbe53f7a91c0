"""Logs: what happened, never to whom and never a word of it, also when something breaks."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bot import logs
from bot.messages import Address, Attachment, Inbound
from storage.vault import grouped, new_code
from tests.whole import Whole

pytestmark = pytest.mark.usefixtures("cheap_keys")

WORDS = "RAHASIA camat dan 081234567890"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the program writes to its log, with the log set up as in production."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up(as_json=True)
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


# --- redaction ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        "1234 5678 9012 3456 7890",
        "1234-5678-9012-3456-7890",
        "12345678901234567890",
        "whatsapp:+6281234567890",
        "+6281234567890",
        "3201123456780001",
    ],
)
def test_tokens_codes_and_numbers_are_taken_out(secret: str) -> None:
    """Whatever stands around them."""
    for text in (secret, f"x {secret} y", f"https://api.telegram.org/bot{secret}/sendMessage"):
        assert secret not in logs.redact(text) and logs.REDACTED in logs.redact(text)


@given(st.builds(new_code))
def test_no_code_survives(code: str) -> None:
    """Bare or grouped, any receipt code is taken out."""
    assert code not in logs.redact(f"kode {code}") and grouped(code) not in logs.redact(f"kode {grouped(code)}.")


def test_a_line_is_one_event_with_its_minute(lines: io.StringIO) -> None:
    """JSON, UTC, to the minute, with redacted values."""
    logs.log.info("turn", flow="tip", ms=12, oops="kode 12345678901234567890")
    line = json.loads(lines.getvalue())
    assert line | {"at": ""} == {"event": "turn", "flow": "tip", "ms": 12, "oops": "kode [...]", "level": "info", "at": ""}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", line["at"])


def test_other_libraries_say_only_what_kind_of_thing_happened(lines: io.StringIO) -> None:
    """Their own wording stays, what they would fill in does not: an address, a URL, the words of an error."""
    try:
        raise ValueError(WORDS)
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "192.0.2.7")
    logging.getLogger("twilio").error("POST https://api.twilio.com/Messages To=whatsapp:+6281234567890 Body=RAHASIA")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception=ValueError('RAHASIA')>", exc_info=False)
    text = lines.getvalue()
    assert "Error handling request from" in text and "(ValueError)" in text and "Task exception was never retrieved" in text
    for secret in ("RAHASIA", "192.0.2.7", "0812", "62812", "Traceback"):
        assert secret not in text


def test_quiet_libraries_say_nothing_of_requests(lines: io.StringIO) -> None:
    """No line per request, at any of their levels below a warning."""
    for name in ("aiohttp.access", "aiohttp.client", "httpx", "httpcore", "telegram", "twilio", "sqlalchemy.engine", "PIL", "alembic"):
        logging.getLogger(name).info("GET /bot123:abc/sendMessage RAHASIA")
        logging.getLogger(name).debug("RAHASIA")
    assert lines.getvalue() == ""


def test_a_task_that_fails_unseen_keeps_its_words(lines: io.StringIO) -> None:
    """asyncio would print the error's words when nobody waits for a task; here it prints its kind."""

    async def leave() -> None:
        async def fail() -> None:
            raise ValueError(WORDS)

        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": task.exception(), "task": task}
        )
        asyncio.get_running_loop().call_exception_handler({"message": "x", "task": task})

    asyncio.run(leave())
    assert "RAHASIA" not in lines.getvalue() and "Task exception was never retrieved" in lines.getvalue()


# --- the whole program --------------------------------------------------------------------------------------------------------------------


def test_a_turn_is_one_line_without_a_word(tmp_path: Path, lines: io.StringIO) -> None:
    """Every message makes one line: channel, flow, question, outcome, time taken."""
    with Whole(tmp_path) as whole:
        lines.truncate(0)
        lines.seek(0)
        whole.person.says("lapor")
        whole.person.says("RAHASIA apa ini")
        whole.person.says("kode saya 1234 5678 9012 3456 7890")
        whole.person.says("nomor saya 081234567890")
        token = whole.person.token
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in found] == ["turn"] * 4
    assert all(set(line) == {"event", "turn", "channel", "flow", "waiting", "outcome", "ms", "level", "at"} for line in found)
    for secret in ("RAHASIA", "0812", "7890", token, "127.0.0.1"):
        assert secret not in lines.getvalue()


def test_a_turn_that_fails_keeps_the_person_s_words(tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that carries what somebody wrote leaves its kind and its place in the log; the person gets a number to name."""
    with Whole(tmp_path) as whole:
        lines.truncate(0)
        lines.seek(0)

        def fail(*_: Any, **__: Any) -> None:
            raise ValueError(f"cannot read {WORDS}")

        monkeypatch.setattr(whole.netra.conductor, "take", fail)
        answer = whole.person.says(WORDS)
        monkeypatch.undo()
    (line,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (line["event"], line["error"], line["level"]) == ("turn failed", "ValueError", "error")
    assert line["where"].startswith("test_logs.py:")
    assert line["turn"] in answer["messages"][0]["text"]
    assert "RAHASIA" not in lines.getvalue() and "0812" not in lines.getvalue()


def test_a_request_that_fails_keeps_the_address(tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a page is an error 500; the log has its kind, not who asked."""
    with Whole(tmp_path) as whole:
        lines.truncate(0)
        lines.seek(0)
        monkeypatch.setattr(whole.netra.web_chat, "_inbound", lambda *_: 1 / 0)
        status, _ = whole.person.request("POST", "/api/chat", json.dumps({"text": WORDS}).encode(), kind="application/json")
        monkeypatch.undo()
    assert status == 500 and "(ZeroDivisionError)" in lines.getvalue()
    for secret in ("127.0.0.1", "RAHASIA", "Traceback", "division"):
        assert secret not in lines.getvalue()


def test_a_channel_that_breaks_keeps_what_it_was_to_send(tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in a channel names its kind alone, and the chat goes on."""
    with Whole(tmp_path) as whole:

        async def fail(*_: Any) -> None:
            raise RuntimeError(WORDS)

        whole.netra.sender.channels = {"web_chat": whole.netra.web_chat}
        whole.netra.sender.pacers["web_chat"] = next(iter(whole.netra.sender.pacers.values()), None) or _free()
        monkeypatch.setattr(whole.netra.web_chat, "send", fail)
        address = Address("web_chat", "x" * 32)
        message = Inbound(address, "m1", text="RAHASIA", attachments=(Attachment(refused="kind"),))
        whole.run(whole.netra.worker.receive(message))
        whole.run(whole.netra.worker.idle())
        assert whole.netra.store.read_now(lambda connection: whole.netra.conversations.unsent(connection, address=address)) == []
        monkeypatch.undo()
    assert '"error": "RuntimeError"' in lines.getvalue() and "RAHASIA" not in lines.getvalue()


def _free() -> Any:
    from bot.pacer import Pacer

    return Pacer(1000.0)
