"""The Telegram channel against a strict Bot API server over real HTTP, in both modes."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import socket
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import Bot, Update

from bot.channels import Channel, fetching, telegram, telegram_http
from bot.channels.limits import FetchError, SendError
from bot.channels.telegram import Telegram, Welcome
from bot.channels.telegram_updates import UPDATES, read_update
from bot.messages import Address, Attachment, Button, Inbound, Outbound, Span
from tests.channels.fake_telegram import METHODS, TOKEN, FakeTelegram, Fault, Json, parse_html
from tests.channels.telegram_payloads import INBOUND, OUTBOUND, Row, Spoken

pytestmark = pytest.mark.anyio
Mode = Literal["polling", "webhook"]
MODES: tuple[Mode, Mode] = ("webhook", "polling")
SECRET = "a-secret-of-the-tests_0123456789"
SITI = Address("telegram", "4001")
YES = Button("t.1.0", "Ya")
HELLO = Outbound((Span("Halo"),))
ASKED = Outbound((Span("Yakin?"),), (YES, Button("t.1.1", "Tidak")))


@pytest.fixture
def anyio_backend() -> str:
    """The loop that the program runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, so that a test of many attempts is short."""
    monkeypatch.setattr(telegram, "PAUSES", (0.02, 0.05))
    monkeypatch.setattr(telegram, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(telegram, "TIDY_SECONDS", 0.0)
    monkeypatch.setattr(telegram, "FORGET_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(telegram, "DOUBT_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(fetching, "PAUSES", (0.01, 0.01))


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    """A strict Bot API server."""
    async with FakeTelegram.running() as server:
        yield server


class Busy(Exception):
    """One chat sends too much."""


class Door:
    """What keeps messages: once each, and not at all while `fails` says so."""

    def __init__(self) -> None:
        self.kept: list[Inbound] = []
        self.asked: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.changed = asyncio.Condition()

    async def __call__(self, inbound: Inbound) -> bool:
        self.asked.append(inbound.platform_id)
        await asyncio.sleep(0)
        failures = self.fails.get(inbound.address.chat)
        if failures:
            raise failures.pop(0)
        if inbound.platform_id in [known.platform_id for known in self.kept]:
            return False
        async with self.changed:
            self.kept.append(inbound)
            self.changed.notify_all()
        return True

    async def keeps(self, count: int, seconds: float = 10.0) -> list[Inbound]:
        """Wait for so many messages."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.kept) >= count), seconds)
        return self.kept

    def texts(self, chat: int = 4001) -> list[str]:
        """What one chat has said."""
        return [inbound.text for inbound in self.kept if inbound.address.chat == str(chat)]


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def channel(
    fake: FakeTelegram, mode: Mode = "webhook", door: Door | None = None, *, ready: bool = True, **options: Any
) -> AsyncIterator[Telegram]:
    """The channel, started and listening."""
    port = free_port()
    made = Telegram(fake.token, api_url=fake.url, mode=mode, secret=SECRET, public_url=f"http://127.0.0.1:{port}", **options)
    app = web.Application()
    app.add_routes(made.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await made.start(door or Door())
        if ready:
            await fake.until(lambda: fake.called("setWebhook" if mode == "webhook" else "deleteWebhook"))
        yield made
    finally:
        await made.stop()
        await runner.cleanup()


@asynccontextmanager
async def sender(fake: FakeTelegram, **options: Any) -> AsyncIterator[Telegram]:
    """The channel for sending alone, with somebody who has begun a chat."""
    fake.person(4001).chat.started = True
    made = Telegram(options.pop("token", fake.token), api_url=options.pop("api_url", fake.url), **options)
    try:
        yield made
    finally:
        await made.stop()


# --- reading -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", INBOUND, ids=lambda row: row.name)
def test_update_is_read_as_the_table_says(row: Row) -> None:
    """Each update stands for this message, and nothing of who sent it is in it."""
    inbound = read_update(json.loads(json.dumps(row.update)))
    assert inbound == row.inbound
    if inbound is not None:
        assert not re.search(r"siti|aminah|budi|camat|\+62", json.dumps(inbound.to_json() | {"text": ""}), re.IGNORECASE)
        assert Inbound.from_json(json.loads(json.dumps(inbound.to_json()))) == inbound


@pytest.mark.parametrize("row", [row for row in INBOUND if row.real], ids=lambda row: row.name)
def test_library_reads_the_same_updates(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """The payloads are real-shaped: the library takes them, and finds the same words in them."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")  # without it the library warns about itself
    update = Update.de_json(row.update, Bot("1:x"))
    message = update.message or update.edited_message
    if row.inbound is not None and message is not None and not row.inbound.control:
        assert (message.text or message.caption or "") == row.inbound.text
        assert str(message.message_id) == row.inbound.message_id
        assert str(update.update_id) == row.inbound.platform_id


def test_table_is_long_enough() -> None:
    """At least sixty updates are in the table."""
    assert len(INBOUND) >= 60
    assert len({row.name for row in INBOUND}) == len(INBOUND)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "text", "file_id", "x"]), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["chat", "from", "text", "photo", "document", "data", "message", "message_id", "new_chat_member", "location"])


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(UPDATES), content=st.dictionaries(FIELDS, JSON_VALUES, max_size=6))
def test_no_update_breaks_the_reading(kind: str, content: Json) -> None:
    """Whatever an update holds, reading it ends in a message or in none."""
    content.setdefault("chat", {"id": 1, "type": "private"})
    content.setdefault("message_id", 2)
    inbound = read_update({"update_id": 1, kind: content})
    assert inbound is None or inbound.to_json()["platform_id"] == "1"


# --- receiving -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_messages_arrive_in_order(fake: FakeTelegram, mode: Mode) -> None:
    """What people write is kept, in order within each chat, and acknowledged."""
    door = Door()
    async with channel(fake, mode, door):
        siti, budi = fake.person(4001), fake.person(4002, language="en")
        sent = [person.says(f"{person.chat.id} {number}") for number in range(15) for person in (siti, budi)]
        for delivery in sent:
            await delivery
    assert door.texts(4001) == [f"4001 {number}" for number in range(15)]
    assert door.texts(4002) == [f"4002 {number}" for number in range(15)]
    assert {inbound.language for inbound in door.kept} == {"id", "en"}
    assert not fake.pending
    assert not fake.refusals


@pytest.mark.parametrize("mode", MODES)
async def test_album_arrives_item_by_item_with_its_group(fake: FakeTelegram, mode: Mode) -> None:
    """Each photo of an album is kept for itself, with the album's id, so that a crash between two of them loses none."""
    door = Door()
    async with channel(fake, mode, door):
        siti = fake.person()
        for number in range(3):
            siti.sends_photo(b"jpeg" * 100, group="1385", caption="Tiga foto" if number == 0 else "")
        siti.sends_photo(b"png" * 100, name="layar.png", mime="image/png")
        kept = await door.keeps(4)
    assert [inbound.group for inbound in kept] == ["1385", "1385", "1385", ""]
    assert [inbound.text for inbound in kept] == ["Tiga foto", "", "", ""]
    assert [inbound.attachments[0].source.partition(":")[0] for inbound in kept] == ["photo", "photo", "photo", "file"]


@pytest.mark.parametrize("mode", MODES)
async def test_message_that_could_not_be_kept_comes_again(fake: FakeTelegram, mode: Mode) -> None:
    """Nothing is acknowledged before it is kept: a failing store gets the message again, in order, and the others only once."""
    door = Door()
    door.fails["4001"] = [RuntimeError("disk full"), RuntimeError("disk full"), OSError()]
    async with channel(fake, mode, door):
        siti, budi = fake.person(4001), fake.person(4002)
        fake.hold()
        sent = [siti.says("satu"), budi.says("one"), siti.says("dua"), budi.says("two")]
        fake.release()
        for delivery in sent:
            await delivery
    assert door.texts(4001) == ["satu", "dua"]
    assert door.texts(4002) == ["one", "two"]
    assert door.asked.count(str(sent[1].update_id)) == 1
    assert not fake.refusals


@pytest.mark.parametrize("mode", MODES)
async def test_chat_that_sends_too_much_holds_up_nobody_else(fake: FakeTelegram, mode: Mode) -> None:
    """Messages over a chat's share wait and keep their order, while other chats are served."""
    door = Door()
    door.fails["4001"] = [Busy() for _ in range(3)]
    async with channel(fake, mode, door, busy=Busy):
        siti, budi = fake.person(4001), fake.person(4002)
        for number in range(4):
            siti.says(f"{number}")
        await budi.says("halo")
        assert door.texts(4002) == ["halo"]
        await door.keeps(5)
    assert door.texts(4001) == ["0", "1", "2", "3"]


async def test_what_polling_holds_back_is_bounded(
    fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of chats that send too much so many messages wait in memory, the rest is passed over with one line; all others are served."""
    monkeypatch.setattr(telegram, "HELD_IN_ALL", 5)
    monkeypatch.setattr(telegram, "BUSY_SECONDS", 0.2)
    door = Door()
    door.fails["4001"] = [Busy() for _ in range(4)]
    door.fails["4003"] = [Busy() for _ in range(4)]
    async with channel(fake, "polling", door, busy=Busy) as made:
        fake.hold()
        for number in range(4):
            fake.person(4001).says(f"{number}")
        for number in range(4):
            fake.person(4003).says(f"{number}")
        fake.release()
        await fake.person(4002).says("halo")
        assert door.texts(4002) == ["halo"]
        await door.keeps(6)
        assert made._held_in_all == 0
    assert len(door.texts(4001)) + len(door.texts(4003)) == 5
    assert door.texts(4001) == sorted(door.texts(4001))
    assert capsys.readouterr().out.count("passed over") == 1


async def test_chat_that_sends_too_much_is_told_apart_from_a_fault(fake: FakeTelegram) -> None:
    """The webhook answers 429 with a pause to one and 500 to the other."""
    door = Door()
    door.fails["4001"] = [Busy(), RuntimeError()]
    async with channel(fake, "webhook", door, busy=Busy):
        delivery = fake.person().says("halo")
        await delivery
    assert delivery.attempts == [429, 500, 200]


@pytest.mark.parametrize("mode", MODES)
async def test_update_after_a_crash_comes_again(fake: FakeTelegram, mode: Mode) -> None:
    """A program that dies between receiving and keeping gets the message from the platform when it is back."""
    died = Door()
    died.fails["4001"] = [RuntimeError()] * 1000
    async with channel(fake, mode, died):
        delivery = fake.person().says("jangan hilang")
        await fake.until(lambda: died.asked)
    assert not delivery.acknowledged.done()
    door = Door()
    async with channel(fake, mode, door):
        await delivery
    assert door.texts() == ["jangan hilang"]


@pytest.mark.parametrize("mode", MODES)
async def test_blocking_is_news_of_the_chat(fake: FakeTelegram, mode: Mode) -> None:
    """Who blocks the bot, or lets it in again, is news and no message."""
    door = Door()
    async with channel(fake, mode, door):
        siti = fake.person()
        siti.blocks()
        siti.unblocks()
        kept = await door.keeps(2)
    assert [inbound.control for inbound in kept] == ["stopped", "restarted"]
    assert [inbound.text for inbound in kept] == ["", ""]


@pytest.mark.parametrize("mode", MODES)
async def test_edit_names_the_message_it_changes(fake: FakeTelegram, mode: Mode) -> None:
    """An edited message has the id of the first one and a delivery number of its own."""
    door = Door()
    async with channel(fake, mode, door):
        siti = fake.person()
        siti.says("hari Senin")
        first = (await door.keeps(1))[0]
        siti.edits(int(first.message_id), "hari Selasa")
        second = (await door.keeps(2))[1]
    assert (second.message_id, second.edited, second.text) == (first.message_id, True, "hari Selasa")
    assert second.platform_id != first.platform_id


# --- the webhook's door --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_secret", [None, "", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), "é", "\x80\xff"])
async def test_webhook_without_the_secret_reads_nothing(fake: FakeTelegram, given_secret: str | None) -> None:
    """A wrong, missing or odd secret is refused before the body is looked at."""
    door = Door()
    async with channel(fake, "webhook", door):
        headers = {} if given_secret is None else {"X-Telegram-Bot-Api-Secret-Token": given_secret}
        for body in (b'{"update_id": 1}', b"{", b"\xff"):
            assert await fake.post(body, headers) == 403
    assert door.asked == []


UPDATE = json.dumps({"update_id": 5, "message": {"message_id": 1, "chat": {"id": 4001, "type": "private"}, "text": "halo"}}).encode()


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (UPDATE, {}, 200),
        (UPDATE, {"Content-Encoding": "identity"}, 200),
        (UPDATE, {"Content-Encoding": "gzip"}, 415),
        (UPDATE, {"Content-Encoding": "deflate"}, 415),
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe\x00", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"update_id": 1' + b"0" * 5000 + b"}", {}, 400),
        (b" " * (1 << 20) + UPDATE, {}, 413),
        (b"[]", {}, 200),
        (b"null", {}, 200),
        (b'"update"', {}, 200),
        (b'{"update_id": 6, "subscription": {}}', {}, 200),
        (b'{"update_id": null, "message": {}}', {}, 200),
    ],
)
async def test_webhook_answers_odd_bodies_in_peace(fake: FakeTelegram, body: bytes, more: dict[str, str], status: int) -> None:
    """Broken requests are refused by their kind, unknown updates are passed over, and none is an error of ours."""
    door = Door()
    async with channel(fake, "webhook", door):
        assert await fake.post(body, {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"} | more) == status
    assert len(door.kept) == (status == 200 and body == UPDATE)


async def test_webhook_body_without_a_length_is_limited_too(fake: FakeTelegram) -> None:
    """A body that comes in pieces without its length is cut off at the limit."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (1 << 15)

    async with channel(fake):
        assert fake._session is not None
        async with fake._session.post(fake.webhook["url"], data=pieces(), headers={"X-Telegram-Bot-Api-Secret-Token": SECRET}) as answer:
            assert answer.status == 413


async def test_webhook_has_a_secret_of_its_own_without_a_setting(fake: FakeTelegram) -> None:
    """Without a secret in the settings the webhook is guarded all the same, by one that only the token's owner can know."""
    async with sender(fake, mode="webhook", public_url="http://127.0.0.1:1") as made:
        await made.start(Door())
        await fake.until(lambda: fake.called("setWebhook"))
    assert re.fullmatch(r"[0-9a-f]{64}", fake.called("setWebhook")[0]["secret_token"])


async def test_polling_has_no_webhook() -> None:
    """In polling mode nothing can be posted to the channel."""
    made: Channel = Telegram(TOKEN)
    assert made.routes() == []
    await made.stop()


async def test_duplicate_deliveries_are_kept_once(fake: FakeTelegram) -> None:
    """An update that is delivered three times is one message, and its button press is confirmed once."""
    door, fake.repeat = Door(), 3
    async with channel(fake, "webhook", door) as made:
        siti = fake.person()
        await siti.says("halo")
        await made.send(SITI, ASKED)
        await siti.taps("Ya")
        await fake.until(lambda: fake.called("editMessageReplyMarkup"))
    assert len(door.asked) == 6
    assert [inbound.text or inbound.button for inbound in door.kept] == ["halo", "t.1.0"]
    assert len(fake.called("answerCallbackQuery")) == 1
    assert not fake.refusals


# --- presses -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_press_is_confirmed_before_it_is_answered(fake: FakeTelegram, mode: Mode) -> None:
    """The platform hears of a press first; then the answer is sent, and the old keyboard goes."""
    door = Door()
    async with channel(fake, mode, door) as made:
        siti = fake.person()
        await siti.says("/lapor")
        await made.send(SITI, ASKED)
        fake.fail("answerCallbackQuery", Fault("delay", seconds=0.2))
        siti.taps("Ya")
        await door.keeps(2)
        await made.send(SITI, HELLO)
        await fake.until(lambda: fake.called("editMessageReplyMarkup"))
    order = [call.method for call in fake.calls if call.method in ("answerCallbackQuery", "sendMessage")]
    assert order == ["sendMessage", "answerCallbackQuery", "sendMessage"]
    assert [message.labels for message in siti.sees() if message.by == "bot"] == [[], []]
    assert not fake.refusals


async def test_late_press_is_a_press(fake: FakeTelegram) -> None:
    """A press too old to be confirmed, or under a keyboard that is gone, is kept and disturbs nothing."""
    door = Door()
    async with channel(fake, "webhook", door) as made:
        siti = fake.person()
        await siti.says("/lapor")
        await made.send(SITI, ASKED)
        asked = siti.sees()[-1]
        await siti.taps("Ya")
        await fake.until(lambda: not asked.keyboard)
        delivery = siti.presses(asked, "t.1.0")
        fake.expire_queries()
        await delivery
        assert [inbound.button for inbound in door.kept] == ["", "t.1.0", "t.1.0"]
        await made.send(SITI, HELLO)
        await fake.until(lambda: len(fake.refusals) == 2)
    assert "query is too old" in fake.refusals[0]
    assert "not modified" in fake.refusals[1]


async def test_answer_does_not_wait_long_for_a_confirmation_that_hangs(fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that does not answer the confirmation holds the answer up for a moment only."""
    monkeypatch.setattr(telegram, "PRESS_SECONDS", 0.1)
    door = Door()
    async with channel(fake, "webhook", door) as made:
        siti = fake.person()
        await siti.says("/lapor")
        await made.send(SITI, ASKED)
        fake.fail("answerCallbackQuery", Fault("hang"))
        await siti.taps("Ya")
        assert await made.send(SITI, HELLO)
        fake.release_hangs()


async def test_told_to_wait_only_what_must_be_is_asked(fake: FakeTelegram) -> None:
    """After a 429 a press is confirmed, which cannot wait, but no old keyboard is taken away until the pause is over."""
    async with channel(fake) as made:
        person = fake.person(4001)
        await person.says("halo")
        await made.send(SITI, ASKED)
        fake.fail("sendMessage", Fault("status", 429, "Too Many Requests: retry after 3", {"retry_after": 3}))
        with pytest.raises(SendError, match="throttled"):
            await made.send(SITI, replace(HELLO, many=True))
        await person.taps("Ya")
        await fake.until(lambda: fake.called("answerCallbackQuery"))
        await asyncio.gather(*made._tasks)
    assert fake.called("editMessageReplyMarkup") == []


async def test_press_that_is_not_kept_is_not_confirmed(fake: FakeTelegram) -> None:
    """A press is confirmed only when it is kept; until then the platform delivers it again."""
    door = Door()
    async with channel(fake, "webhook", door) as made:
        siti = fake.person()
        await siti.says("/lapor")
        await made.send(SITI, ASKED)
        door.fails["4001"] = [RuntimeError(), RuntimeError()]
        delivery = siti.taps("Ya")
        await delivery
        await fake.until(lambda: fake.called("answerCallbackQuery"))
    assert delivery.attempts == [500, 500, 200]
    assert len(fake.called("answerCallbackQuery")) == 1


# --- starting and polling ------------------------------------------------------------------------------------------------------------


async def test_webhook_is_registered_with_what_is_needed(fake: FakeTelegram) -> None:
    """The platform is given the address, the secret, the kinds of updates and the connections."""
    async with channel(fake):
        registered = fake.called("setWebhook")[0]
    assert registered["url"].endswith("/telegram/webhook")
    assert registered["secret_token"] == SECRET
    assert registered["allowed_updates"] == ["message", "edited_message", "callback_query", "my_chat_member"]
    assert registered["max_connections"] == 100
    assert "drop_pending_updates" not in registered


@pytest.mark.parametrize("mode", MODES)
async def test_commands_menu_and_welcome_are_shown(fake: FakeTelegram, mode: Mode) -> None:
    """Indonesian is the default, English for those who use it; what is set already is not set again."""
    commands = {"id": [("lapor", "Laporkan pelanggaran"), ("tanya", "Boleh atau dilarang?")], "en": [("lapor", "Report a breach")]}
    welcome = {"id": Welcome("Netra", "Tanya atau lapor.", "Netralitas ASN"), "en": Welcome(description="Ask or report.")}
    for _ in range(2):
        async with channel(fake, mode, commands=commands, welcome=welcome):
            await fake.until(lambda: fake.profile.get(("description", "en")) == "Ask or report.")
            await fake.until(lambda: fake.calls[-1].method in ("getMyDescription", "setMyDescription", "getUpdates"))
    assert [command["command"] for command in fake.commands[""]] == ["lapor", "tanya"]
    assert fake.commands["en"] == [{"command": "lapor", "description": "Report a breach"}]
    assert fake.menu_button == {"type": "commands"}
    assert fake.called("setMyName") == []
    assert len(fake.called("setMyDescription")) == 2
    assert not fake.refusals


@pytest.mark.parametrize("mode", MODES)
async def test_failing_introduction_stops_nothing(fake: FakeTelegram, mode: Mode, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands that cannot be set are one line in the log, and messages are received all the same."""
    door = Door()
    fake.fail("setChatMenuButton", Fault("html", 502))
    async with channel(fake, mode, door, commands={"id": [("TERLALU-BESAR", "x")]}):
        await fake.until(lambda: fake.refusals)
        await fake.person().says("halo")
    said = capsys.readouterr().out
    assert said.count("menu not set") == 1
    assert said.count("commands (id) not set") == 1
    assert door.texts() == ["halo"]


@pytest.mark.parametrize("mode", MODES)
async def test_start_while_the_platform_is_down(mode: Mode) -> None:
    """The channel starts while the platform cannot be reached, and is there when it is back."""
    fake, door, port = FakeTelegram(), Door(), free_port()
    fake.url = f"http://127.0.0.1:{port}"
    async with channel(fake, mode, door, ready=False):
        await fake.start(port)
        try:
            await fake.until(lambda: fake.called("setWebhook" if mode == "webhook" else "getUpdates") or fake._poller)
            await fake.person().says("halo")
        finally:
            await fake.stop()
    assert door.texts() == ["halo"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 500),
        Fault("status", 429, parameters={"retry_after": 0}),
        Fault("status", 429, parameters={}),
        Fault("status", 409, "Conflict: terminated by other getUpdates request"),
        Fault("status", 401, "Unauthorized"),
        Fault("html", 502),
        Fault("html", 200),
        Fault("redirect", description="http://127.0.0.1:1/"),
        Fault("reset"),
        Fault("drop"),
        Fault("half"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
async def test_polling_goes_on_after_any_fault(fake: FakeTelegram, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to a poll, the next one brings the messages, each once."""
    monkeypatch.setattr(telegram_http, "THROTTLED_SECONDS", 0)
    door = Door()
    fake.fail("deleteWebhook", fault)
    fake.fail("getUpdates", fault, fault)
    fake.hold()
    sent = [fake.person().says("satu"), fake.person().says("dua")]
    fake.release()
    async with channel(fake, "polling", door):
        fake.fail("getUpdates", fault)
        for delivery in sent:
            await delivery
        await fake.person().says("tiga")
    assert door.texts() == ["satu", "dua", "tiga"]


async def test_polling_takes_a_webhook_away_that_comes_later(fake: FakeTelegram) -> None:
    """A webhook that somebody sets while the bot polls is taken away again."""
    door = Door()
    async with channel(fake, "polling", door):
        await fake.person().says("satu")
        fake.webhook = {"url": "https://contoh.id/x"}
        fake.person().says("dua")
        fake.wake_poller()
        await fake.until(lambda: door.texts() == ["satu", "dua"] or fake.webhook == {})
        await door.keeps(2)
    assert len(fake.called("deleteWebhook")) >= 2


async def test_two_pollers_stop_neither(fake: FakeTelegram) -> None:
    """Two programs with one token disturb each other, but both go on, and every message is kept once at least."""
    door = Door()
    async with channel(fake, "polling", door), channel(fake, "polling", door):
        for number in range(5):
            await fake.person().says(f"{number}")
    assert door.texts() == ["0", "1", "2", "3", "4"]


async def test_numbers_may_start_again(fake: FakeTelegram) -> None:
    """After a week of silence the platform counts from another, smaller number; nothing is missed."""
    door = Door()
    async with channel(fake, "polling", door):
        await fake.person().says("satu")
        offset_gone = len(fake.called("getUpdates"))
        monitor = fake.called
        fake._next_update = 1000
        fake.wake_poller()
        await fake.until(lambda: len(monitor("getUpdates")) >= offset_gone)
        await fake.person().says("dua")
    assert door.texts() == ["satu", "dua"]


# --- sending -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoken", OUTBOUND, ids=lambda spoken: spoken.name)
async def test_message_is_sent_as_the_table_says(fake: FakeTelegram, spoken: Spoken) -> None:
    """Each message is these requests, and the platform takes them."""
    async with sender(fake) as made:
        ids = await made.send(SITI, spoken.outbound)
    always = {"chat_id": 4001, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}
    assert [call.parameters for call in fake.calls] == [always | request for request in spoken.requests]
    assert list(ids) == [str(message.message_id) for message in fake.chats[4001].messages.values()]
    assert not fake.refusals


async def test_person_sees_the_words_and_not_the_markup(fake: FakeTelegram) -> None:
    """What a person wrote is shown as it was written, whatever it looks like."""
    words = "<b>x</b> & </code> <a href='x'>y</a> &lt; *_`[]()~>#+-=|{}.!"
    async with sender(fake) as made:
        await made.send(SITI, Outbound((Span(words), Span("A<", "bold"), Span("B&", "italic"))))
    shown = fake.person().sees()[0]
    assert shown.text == words + "A<B&"
    assert (shown.styled("bold"), shown.styled("italic")) == (["A<"], ["B&"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["", "bold", "italic", "code"])), min_size=1, max_size=6), st.booleans())
def test_any_words_survive_the_markup(pieces: list[tuple[str, Any]], secret: bool) -> None:
    """Whatever the words, the platform's own reading of our HTML gives them back."""
    spans = [Span(text, style) for text, style in pieces]
    assert parse_html(telegram.to_html(spans, secret))[0] == "".join(span.text for span in spans)


async def test_secret_cannot_be_forwarded_and_is_hidden(fake: FakeTelegram) -> None:
    """A message with a code is protected, and the code is seen only after a tap."""
    async with sender(fake) as made:
        await made.send(SITI, Outbound((Span("Kode laporan: "), Span("1234 5678", "code")), secret=True))
    shown = fake.person().sees()[0]
    assert shown.protected
    assert shown.styled("spoiler") == ["1234 5678"]


SEND_FAULTS = [
    (Fault("status", 403, "Forbidden: bot was blocked by the user"), "stopped", 0),
    (Fault("status", 403, "Forbidden: user is deactivated"), "stopped", 0),
    (Fault("status", 400, "Bad Request: chat not found"), "stopped", 0),
    (Fault("status", 400, "Bad Request: PEER_ID_INVALID"), "stopped", 0),
    (Fault("status", 429, "Too Many Requests: retry after 7", {"retry_after": 7}), "throttled", 7),
    (Fault("status", 429, "Too Many Requests"), "throttled", 5),
    (Fault("html", 429), "throttled", 5),
    (Fault("status", 401, "Unauthorized"), "auth", 0),
    (Fault("status", 404, "Not Found"), "auth", 0),
    (Fault("status", 400, 'Bad Request: can\'t parse entities: Unsupported start tag "rahasia" at byte offset 1'), "bad_request", 0),
    (Fault("status", 400, "Bad Request: BUTTON_DATA_INVALID"), "bad_request", 0),
    (Fault("status", 400, "Bad Request: message is too long"), "too_large", 0),
    (Fault("status", 413, "Request Entity Too Large"), "too_large", 0),
    (Fault("html", 413), "too_large", 0),
    (Fault("status", 500), "down", 0),
    (Fault("status", 502, "Bad Gateway"), "down", 0),
    (Fault("html", 502), "down", 0),
    (Fault("html", 503), "down", 0),
    (Fault("html", 200), "down", 0),
    (Fault("html", 403), "down", 0),
    (Fault("html", 404), "down", 0),
    (Fault("redirect", description="http://127.0.0.1:1/"), "down", 0),
    (Fault("status", 409, "Conflict: x"), "down", 0),
    (Fault("reset"), "unknown_outcome", 0),
    (Fault("drop"), "unknown_outcome", 0),
    (Fault("half"), "unknown_outcome", 0),
    (Fault("hang"), "unknown_outcome", 0),
]


@pytest.mark.parametrize(
    ("fault", "trouble", "seconds"), SEND_FAULTS, ids=[f"{f.kind} {f.status} {f.description[:30]}" for f, _, _ in SEND_FAULTS]
)
async def test_what_goes_wrong_has_a_name(
    fake: FakeTelegram, fault: Fault, trouble: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault of the platform or of the way to it is one of the closed list, and holds nothing of the message."""
    monkeypatch.setattr(telegram_http, "ANSWER_SECONDS", 0.3)
    async with sender(fake) as made:
        fake.fail("sendMessage", *[fault] * (3 if trouble == "unknown_outcome" else 1))
        with pytest.raises(SendError) as caught:
            await made.send(SITI, HELLO)
        fake.release_hangs()
        assert (caught.value.trouble, caught.value.seconds) == (trouble, seconds)
        assert "rahasia" not in str(caught.value)
        assert await made.send(SITI, HELLO)


@pytest.mark.parametrize("kind", ["reset", "drop", "half"])
async def test_reply_in_doubt_is_said_again(fake: FakeTelegram, kind: Any) -> None:
    """Not lost when nothing was done, twice at worst when it was; a message to many is never repeated."""
    async with sender(fake) as made:
        fake.fail("sendMessage", Fault(kind))
        assert await made.send(SITI, HELLO)
        assert len(fake.person(4001).sees()) == (1 if kind == "reset" else 2)
        fake.fail("sendMessage", Fault(kind))
        with pytest.raises(SendError, match="unknown_outcome"):
            await made.send(SITI, replace(HELLO, many=True))


async def test_platform_that_cannot_be_reached_is_down() -> None:
    """A refused connection, an unknown host and an address that is none mean: certainly not sent."""
    for url in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid", "http://[::", "ftp://127.0.0.1"):
        made = Telegram(TOKEN, api_url=url)
        with pytest.raises(SendError) as caught:
            await made.send(SITI, HELLO)
        assert caught.value.trouble == "down"
        await made.stop()


async def test_stopped_channel_sends_nothing(fake: FakeTelegram) -> None:
    """After the stop a message stays for the next run, and no connection is opened."""
    async with sender(fake) as made:
        await made.send(SITI, HELLO)
    with pytest.raises(SendError, match="down"):
        await made.send(SITI, HELLO)
    with pytest.raises(FetchError, match="down"):
        await made.fetch(Attachment(source="photo:x"))
    assert len(fake.calls) == 1


async def test_stop_waits_for_answers_under_way(fake: FakeTelegram) -> None:
    """A message that is being sent when the channel stops is sent, and its id is known."""
    async with sender(fake) as made:
        fake.fail("sendMessage", Fault("hang"))
        sending = asyncio.create_task(made.send(SITI, HELLO))
        await fake.until(lambda: fake.called("sendMessage"))
        stopping = asyncio.create_task(made.stop())
        with pytest.raises(SendError, match="down"):
            while True:
                await made.send(Address("telegram", "4001"), HELLO)
        fake.release_hangs()
        await stopping
        assert list(await sending) == [str(fake.person().sees()[0].message_id)]


async def test_real_refusals_have_names(fake: FakeTelegram) -> None:
    """A wrong token, a stranger, somebody who blocks and a chat that is none, as the platform itself refuses them."""
    async with sender(fake, token="123456789:wrong-token-of-the-tests") as made:
        with pytest.raises(SendError, match="auth"):
            await made.send(SITI, HELLO)
    async with sender(fake) as made:
        with pytest.raises(SendError, match="stopped"):
            await made.send(Address("telegram", "999"), HELLO)
        with pytest.raises(SendError, match="bad_request"):
            await made.send(Address("telegram", "me"), HELLO)
        fake.chats[4001].blocked = True
        with pytest.raises(SendError, match="stopped"):
            await made.send(SITI, HELLO)


async def test_moved_chat_is_followed_once(fake: FakeTelegram) -> None:
    """A message to a chat that moved goes to its new id, once; one that moves again and again is given up."""
    async with sender(fake) as made:
        fake.chats[4001].moved_to = -1002
        fake.person(-1002).chat.started = True
        ids = await made.send(SITI, HELLO)
        assert [str(number) for number in fake.chats[-1002].messages] == list(ids)
        fake.chats[-1002].moved_to = 4001
        with pytest.raises(SendError, match="stopped"):
            await made.send(SITI, HELLO)


LONG = Outbound((Span("\n\n".join(f"Bagian {number}. " + "kata " * 300 for number in range(9)).strip()),), (YES,))


async def test_long_message_goes_on_where_it_was_stopped(fake: FakeTelegram) -> None:
    """After a pause that the platform asked for, the texts that were sent are not sent again."""
    async with sender(fake) as made:
        fake.fail("sendMessage", Fault("delay"), Fault("delay"), Fault("status", 429, "Too Many Requests", {"retry_after": 61}))
        with pytest.raises(SendError, match="throttled"):
            await made.send(SITI, LONG)
        assert len(fake.called("sendMessage")) == 2
        ids = await made.send(SITI, LONG)
    shown = fake.person().sees()
    assert [str(message.message_id) for message in shown] == list(ids)
    assert " ".join(message.text for message in shown).split() == LONG.text.split()
    assert [message.labels for message in shown] == [[], [], [], [], ["Ya"]]


async def test_another_message_begins_at_its_beginning(fake: FakeTelegram) -> None:
    """What was sent of a message that was given up is not taken off the next one."""
    async with sender(fake) as made:
        fake.fail("sendMessage", Fault("delay"), Fault("status", 500))
        with pytest.raises(SendError, match="down"):
            await made.send(SITI, LONG)
        await made.send(SITI, HELLO)
        await made.send(SITI, LONG)
    assert fake.person().sees()[1].text == "Halo"
    assert fake.person().sees()[2].text.startswith("Bagian 0.")


async def test_hundred_chats_at_once(fake: FakeTelegram) -> None:
    """Many chats are written to at once over few connections, each in its order."""
    chats = range(5000, 5100)
    async with sender(fake) as made:

        async def talk(chat: int) -> None:
            fake.person(chat).chat.started = True
            for number in range(5):
                await made.send(Address("telegram", str(chat)), Outbound((Span(f"{chat} {number}"),)))

        await asyncio.gather(*(talk(chat) for chat in chats))
    for chat in chats:
        assert [message.text for message in fake.person(chat).sees()] == [f"{chat} {number}" for number in range(5)]


# --- forgetting ----------------------------------------------------------------------------------------------------------------------


async def test_chat_that_is_written_to_too_fast_waits_alone(fake: FakeTelegram) -> None:
    """A burst passes; then this chat gets a message a second, refused once, and every other chat its own at once."""
    fake.chat_burst = 3
    async with sender(fake) as made:
        fake.person(4002).chat.started = True
        fast = asyncio.create_task(_all([made.send(SITI, Outbound((Span(f"{number}"),))) for number in range(5)]))
        await fake.until(lambda: fake.refusals)
        await made.send(Address("telegram", "4002"), HELLO)
        await fast
    assert [call["chat_id"] for call in fake.called("sendMessage")] == [4001, 4001, 4001, 4002, 4001, 4001]
    assert [message.text for message in fake.person(4001).sees()] == ["0", "1", "2", "3", "4"]
    assert len(fake.refusals) <= 2


async def _all(sends: list[Any]) -> None:
    for send in sends:
        await send


async def test_first_message_that_is_refused_for_speed_is_everybodys_matter(fake: FakeTelegram) -> None:
    """A chat that was not written to lately is not the reason: the sender learns of it. So it does for messages to many."""
    wait = Fault("status", 429, "Too Many Requests: retry after 2", {"retry_after": 2})
    async with sender(fake) as made:
        fake.fail("sendMessage", wait, Fault("delay"), wait)
        with pytest.raises(SendError, match="throttled"):
            await made.send(SITI, HELLO)
        await made.send(SITI, HELLO)
        with pytest.raises(SendError, match="throttled"):
            await made.send(SITI, replace(HELLO, many=True))


async def test_messages_are_forgotten_in_batches(fake: FakeTelegram) -> None:
    """All given messages are deleted on both sides, a hundred a request; missing and odd ids are passed over, others stay."""
    siti = fake.person()
    for number in range(250):
        fake.show(siti.chat, "bot" if number % 2 else "person", f"{number}")
    ids = [str(message.message_id) for message in siti.sees()]
    async with sender(fake) as made:
        await made.forget(SITI, [*ids[:240], ids[0], "999999", "", "x", "-5"])
    assert [message.text for message in siti.sees()] == [f"{number}" for number in range(240, 250)]
    assert [len(call["message_ids"]) for call in fake.called("deleteMessages")] == [100, 100, 41]
    assert not fake.refusals


async def test_message_too_old_to_forget_keeps_no_other(fake: FakeTelegram) -> None:
    """A message that the platform no longer deletes does not save the ones beside it."""
    siti = fake.person()
    old, new = fake.show(siti.chat, "bot", "lama"), fake.show(siti.chat, "person", "baru")
    old.date -= 49 * 3600
    async with sender(fake) as made:
        await made.forget(SITI, [str(old.message_id), str(new.message_id)])
    assert siti.sees() == [old]


async def test_forgetting_is_tried_again(fake: FakeTelegram) -> None:
    """A platform that is down, breaks off or wants a short pause: the messages are gone in the end. Nothing to forget asks for nothing."""
    async with sender(fake) as made:
        ids = [(await made.send(SITI, HELLO))[0] for _ in range(2)]
        fake.fail("deleteMessages", Fault("html", 502), Fault("drop"))
        await made.forget(SITI, ids)
        assert fake.person(4001).sees() == []
        await made.forget(SITI, [])
    assert len([call for call in fake.calls if call.method == "deleteMessages"]) == 3


async def test_forgetting_reports_what_does_not_end(fake: FakeTelegram) -> None:
    """A platform that stays down, or wants a long pause, is reported."""
    async with sender(fake) as made:
        fake.fail("deleteMessages", *[Fault("html", 502)] * 3)
        with pytest.raises(SendError, match="down"):
            await made.forget(SITI, ["5"])
        fake.fail("deleteMessages", Fault("status", 429, "Too Many Requests", {"retry_after": 600}))
        with pytest.raises(SendError, match="throttled"):
            await made.forget(SITI, ["5"])


# --- files ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["photo", "file"])
async def test_photo_is_fetched_as_it_was_sent(fake: FakeTelegram, kind: str) -> None:
    """The bytes of a photo or of a picture sent as a file come as they are."""
    data = bytes(range(256)) * 5000
    file_id = fake.keep_file(data)
    async with sender(fake) as made:
        assert await made.fetch(Attachment(source=f"{kind}:{file_id}")) == data


@pytest.mark.parametrize(
    ("method", "fault", "reason"),
    [
        ("getFile", Fault("status", 400, "Bad Request: file is too big"), "large"),
        ("getFile", Fault("status", 400, "Bad Request: wrong file_id or the file is temporarily unavailable"), "gone"),
        ("getFile", Fault("status", 500), "down"),
        ("getFile", Fault("html", 200), "down"),
        ("getFile", Fault("status", 429, "Too Many Requests", {"retry_after": 1}), "down"),
        ("getFile", Fault("drop"), "down"),
        ("file", Fault("status", 404, "Not Found"), "gone"),
        ("file", Fault("status", 500), "down"),
        ("file", Fault("half"), "down"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
async def test_photo_that_cannot_be_fetched_has_a_reason(fake: FakeTelegram, method: str, fault: Fault, reason: str) -> None:
    """Too large, gone, or down for all attempts; and the next one works."""
    file_id = fake.keep_file(b"jpeg" * 1000)
    async with sender(fake) as made:
        fake.fail(method, *[fault] * (len(fetching.PAUSES) + 1 if reason == "down" else 1))
        with pytest.raises(FetchError) as caught:
            await made.fetch(Attachment(source=f"photo:{file_id}"))
        assert caught.value.reason == reason
        assert await made.fetch(Attachment(source=f"photo:{file_id}")) == b"jpeg" * 1000


@pytest.mark.parametrize("method", ["getFile", "file"])
async def test_photo_is_fetched_again_by_itself(fake: FakeTelegram, method: str) -> None:
    """A platform that breaks off or is out of order for a moment costs nobody a photo."""
    file_id = fake.keep_file(b"jpeg" * 1000)
    async with sender(fake) as made:
        fake.fail(method, Fault("half"), Fault("status", 500))
        assert await made.fetch(Attachment(source=f"photo:{file_id}")) == b"jpeg" * 1000


async def test_large_photo_is_not_fetched(fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is refused before it is fetched, and while it is when its size was not told truly."""
    file_id = fake.keep_file(b"x" * 5000)
    monkeypatch.setattr(telegram, "FILE_BYTES", 4999)
    async with sender(fake) as made:
        with pytest.raises(FetchError, match="large"):
            await made.fetch(Attachment(source=f"photo:{file_id}"))
        assert [call.method for call in fake.calls] == ["getFile"]
        monkeypatch.setattr(fake, "_get_file", lambda _: {"file_id": "x", "file_path": f"photos/file {file_id}.jpg"})
        with pytest.raises(FetchError, match="large"):
            await made.fetch(Attachment(source=f"photo:{file_id}"))


@pytest.mark.parametrize("path", ["../../bot1:x/getMe", "/etc/passwd", "", "a/../b"])
async def test_odd_path_is_not_fetched(fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A path that leads out of the platform's files is not followed."""
    monkeypatch.setattr(fake, "_get_file", lambda _: {"file_id": "x", "file_path": path})
    async with sender(fake) as made:
        with pytest.raises(FetchError, match="gone"):
            await made.fetch(Attachment(source="photo:x"))
    assert fake.called("file") == []


async def test_redirect_is_not_followed(fake: FakeTelegram) -> None:
    """No other host ever sees a request: not for a file and not for a method."""
    async with FakeTelegram.running() as other, sender(fake) as made:
        fake.fail("file", *[Fault("redirect", description=f"{other.url}/file/bot{fake.token}/photos/x.jpg")] * 3)
        with pytest.raises(FetchError, match="down"):
            await made.fetch(Attachment(source=f"photo:{fake.keep_file(b'x')}"))
        fake.fail("sendMessage", Fault("redirect", description=f"{other.url}/bot{fake.token}/sendMessage"))
        with pytest.raises(SendError, match="down"):
            await made.send(SITI, HELLO)
        assert other.calls == []


# --- the token -----------------------------------------------------------------------------------------------------------------------


def all_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error with every error that it carries."""
    while error is not None:
        yield error
        yield from all_of(error.__cause__)
        error = error.__context__


async def test_token_is_nowhere(
    fake: FakeTelegram, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No error, no log line of any level and no representation holds the token, whatever fails."""
    caplog.set_level(logging.DEBUG)
    for module in (telegram, telegram_http):
        monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(telegram, "PATIENT_SECONDS", 0.0)
    errors: list[BaseException] = []
    faults = [fault for fault, _, _ in SEND_FAULTS]
    async with sender(fake) as made:
        file_id = fake.keep_file(b"x" * 100)
        for fault in faults:
            for method, call in (
                ("sendMessage", lambda: made.send(SITI, HELLO)),
                ("deleteMessages", lambda: made.forget(SITI, ["1"])),
                ("getFile", lambda: made.fetch(Attachment(source=f"photo:{file_id}"))),
                ("file", lambda: made.fetch(Attachment(source=f"photo:{file_id}"))),
            ):
                fake.fail(method, *[fault] * 3)
                try:
                    await call()
                except (SendError, FetchError) as error:
                    errors.append(error)
                fake.faults[method].clear()
            fake.release_hangs()
            fake.fail("getMe", fault)
            assert fake.token not in await made.check()
            fake.release_hangs()
        assert fake.token not in repr(made)
    for url in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid", "http://[::"):
        made = Telegram(fake.token, api_url=url)
        for call in (lambda made=made: made.send(SITI, HELLO), lambda made=made: made.fetch(Attachment(source="photo:x"))):
            with pytest.raises((SendError, FetchError)) as caught:
                await call()
            errors.append(caught.value)
        assert fake.token not in await made.check()
        await made.stop()
    async with channel(fake, "polling", commands={"id": [("a", "b")]}):
        fake.fail("getUpdates", *(fault for fault in faults if fault.status != 429 and fault.kind != "hang"))
        await fake.person().says("halo")
    assert len(errors) > 60
    secret = fake.token.split(":")[1]
    for caught_error in errors:
        for one in all_of(caught_error):
            said = f"{one!r} {one} {one.args} {''.join(traceback.format_exception(one))}"
            assert secret not in said
    output = capfd.readouterr()
    assert secret not in output.out + output.err
    assert "Halo" not in output.out + output.err
    for record in caplog.records:
        assert secret not in record.getMessage() + str(record.exc_info)


# --- doctor --------------------------------------------------------------------------------------------------------------------------


async def test_doctor_finds_what_is_wrong(fake: FakeTelegram) -> None:
    """One line says what is wrong and what to do; none when all is well."""
    async with sender(fake) as made:
        assert await made.check() == ""
        fake.webhook = {"url": "https://contoh.id/x"}
        assert "TELEGRAM_MODE is polling" in await made.check()
        fake.fail("getMe", Fault("html", 502))
        assert "does not answer as it should (down 502)" in await made.check()
    async with sender(fake, token="salah") as made:
        assert "does not look like a token" in await made.check()
    async with sender(fake, token="123456789:wrong-token-of-the-tests") as made:
        assert "refuses TELEGRAM_TOKEN" in await made.check()


async def test_doctor_knows_the_webhook(fake: FakeTelegram) -> None:
    """A webhook elsewhere, one that fails, one with many updates waiting, and one that cannot work."""
    options: dict[str, Any] = {"mode": "webhook", "public_url": "https://netra.example/", "secret": SECRET}
    async with sender(fake, **options) as made:
        assert "another address" in await made.check()
        fake.webhook = {"url": "https://netra.example/telegram/webhook"}
        assert await made.check() == ""
        fake.hold()
        for _ in range(101):
            delivery = fake.person().says("x")
            fake.pending[delivery.update_id] = delivery
        assert "101 updates wait" in await made.check()
        fake._last_error = (int(fake.now()), "Connection refused")
        assert "failed: Connection refused" in await made.check()
    async with sender(fake, **options | {"public_url": "http://netra.example"}) as made:
        assert "https" in await made.check()
    async with sender(fake, **options | {"secret": "rahasia sekali!"}) as made:
        assert "TELEGRAM_WEBHOOK_SECRET" in await made.check()


# --- the server of these tests -------------------------------------------------------------------------------------------------------

KEY = {"text": "Ya", "callback_data": "t"}


@pytest.mark.parametrize(
    ("method", "parameters", "refusal"),
    [
        ("sendMesage", {}, "Not Found"),
        ("sendMessage", {"chat_id": 4001}, "parameter text is required"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "disable_web_page_preview": "true"}, "unknown parameter"),
        ("sendMessage", {"chat_id": "@x y", "text": "x"}, "wrong parameter chat_id"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "protect_content": "yes"}, "wrong parameter protect_content"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": "{"}, "can't parse reply_markup"),
        ("sendMessage", {"chat_id": 77, "text": "x"}, "chat not found"),
        ("sendMessage", {"chat_id": 4003, "text": "x"}, "can't initiate conversation"),
        ("sendMessage", {"chat_id": 4001, "text": " \n "}, "text is empty"),
        ("sendMessage", {"chat_id": 4001, "text": "👍" * 2049}, "too long"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "parse_mode": "Markdown"}, "unsupported parse_mode"),
        ("sendMessage", {"chat_id": 4001, "text": "a < b", "parse_mode": "HTML"}, "Unsupported start tag"),
        ("sendMessage", {"chat_id": 4001, "text": "<p>a</p>", "parse_mode": "HTML"}, "Unsupported start tag"),
        ("sendMessage", {"chat_id": 4001, "text": "<b>a", "parse_mode": "HTML"}, "Can't find end tag"),
        ("sendMessage", {"chat_id": 4001, "text": "<b><i>a</b></i>", "parse_mode": "HTML"}, "Unmatched end tag"),
        ("sendMessage", {"chat_id": 4001, "text": "<tg-spoiler><code>a</code></tg-spoiler>", "parse_mode": "HTML"}, "code within"),
        ("sendMessage", {"chat_id": 4001, "text": "<b></b>", "parse_mode": "HTML"}, "text is empty"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [KEY]}}, "object expected"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY] * 9]}}, "too long"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY]] * 101}}, "too long"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY | {"url": "x"}]]}}, "exactly one kind"),
        ("sendMessage", {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY | {"text": ""}]]}}, "with a text"),
        (
            "sendMessage",
            {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY | {"callback_data": "é" * 33}]]}},
            "BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            {"chat_id": 4001, "text": "x", "reply_markup": {"inline_keyboard": [[KEY | {"callback_data": ""}]]}},
            "DATA_INVALID",
        ),
        ("answerCallbackQuery", {"callback_query_id": "1"}, "query is too old"),
        ("answerCallbackQuery", {"callback_query_id": "1", "text": "x" * 201}, "TOO_LONG"),
        ("editMessageReplyMarkup", {"chat_id": 4001, "message_id": 10}, "not modified"),
        ("editMessageText", {"chat_id": 4001, "message_id": 10, "text": "Halo"}, "not modified"),
        ("editMessageText", {"chat_id": 4001, "message_id": 11, "text": "x"}, "can't be edited"),
        ("editMessageText", {"chat_id": 4001, "message_id": 999, "text": "x"}, "to edit not found"),
        ("deleteMessage", {"chat_id": 4001, "message_id": 999}, "to delete not found"),
        ("deleteMessages", {"chat_id": 4001, "message_ids": []}, "1-100"),
        ("deleteMessages", {"chat_id": 4001, "message_ids": list(range(101))}, "1-100"),
        ("getFile", {"file_id": "x"}, "wrong file_id"),
        ("setMyCommands", {"commands": [{"command": "Lapor", "description": "x"}]}, "BOT_COMMAND_INVALID"),
        ("setMyCommands", {"commands": [{"command": "lapor", "description": ""}]}, "DESCRIPTION_INVALID"),
        ("setMyCommands", {"commands": [{"command": "a", "description": "b"}] * 101}, "TOO_MUCH"),
        ("setMyDescription", {"description": "x" * 513}, "too long"),
        ("setMyShortDescription", {"short_description": "x" * 121}, "too long"),
        ("setMyName", {"name": "x" * 65, "language_code": "id"}, "too long"),
        ("setMyName", {"name": "x", "language_code": "indonesia"}, "language code"),
        ("setWebhook", {"url": "http://netra.example"}, "HTTPS"),
        ("setWebhook", {"url": "https://netra.example", "secret_token": "a b"}, "secret token"),
        ("setWebhook", {"url": "https://netra.example", "max_connections": 101}, "max_connections"),
        ("sendChatAction", {"chat_id": 4001, "action": "sleeping"}, "wrong parameter action"),
    ],
)
async def test_fake_refuses_what_the_platform_refuses(fake: FakeTelegram, method: str, parameters: Json, refusal: str) -> None:
    """Each breach of the Bot API's contract is refused and written down."""
    siti = fake.person()
    fake.show(siti.chat, "bot", "Halo")
    fake.show(siti.chat, "person", "hai")
    siti.chat.started = True
    fake.person(4003)
    assert fake._session is not None
    async with fake._session.post(f"{fake.url}/bot{fake.token}/{method}", json=parameters) as answer:
        said = await answer.json()
        assert (answer.status >= 400, said["ok"]) == (True, False)
    assert refusal in said["description"]
    assert refusal in fake.refusals[0]


async def test_fake_counts_messages_a_second(fake: FakeTelegram) -> None:
    """Over the rate the server asks for a pause."""
    fake.per_second = 3
    async with sender(fake) as made:
        for _ in range(3):
            await made.send(SITI, replace(HELLO, many=True))
        with pytest.raises(SendError) as caught:
            await made.send(SITI, replace(HELLO, many=True))
    assert (caught.value.trouble, caught.value.seconds) == ("throttled", 1)


async def test_fake_can_reorder(fake: FakeTelegram) -> None:
    """Updates of different chats can be delivered in another order than they were made."""
    door = Door()
    async with channel(fake, "webhook", door):
        fake.hold()
        first, second = fake.person(4001).says("satu"), fake.person(4002).says("dua")
        fake.release(reverse=True)
        await first
        await second
    assert [inbound.text for inbound in door.kept] == ["dua", "satu"]


@pytest.mark.parametrize("method", METHODS)
def test_fake_knows_the_parameters_that_the_library_knows(method: str) -> None:
    """The table of methods is the library's own, without what the library adds."""
    own = {"self", "api_kwargs", "allow_sending_without_reply", "reply_to_message_id", "disable_web_page_preview"}
    signature = inspect.signature(getattr(Bot, re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), method)))
    library = {name for name in signature.parameters if name not in own and not name.endswith("_timeout")}
    assert {name.rstrip("!") for name in METHODS[method].split()} == library


def test_log_is_quiet_about_content() -> None:
    """The library's own debug lines, which hold tokens and words, are off."""
    Telegram(TOKEN)
    assert not logging.getLogger("telegram.Bot").isEnabledFor(logging.DEBUG)
