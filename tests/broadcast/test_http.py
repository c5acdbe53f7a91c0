"""Delivery over real HTTP through the real channel, in a process that is killed without warning."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.broadcast import CLAIM_SECONDS
from bot.messages import Address
from storage.models import Delivery
from tests.broadcast.conftest import TEXT, Office
from tests.channels.fake_telegram import TOKEN, Chat, FakeTelegram, Fault

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
RATE = 200


async def start(office: Office, fake: FakeTelegram) -> asyncio.subprocess.Process:
    """A sender of its own process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.broadcast.sender", str(office.folder), fake.url, TOKEN, office.clock().isoformat(), str(RATE), cwd=ROOT
    )


def know(fake: FakeTelegram, people: Sequence[Address]) -> None:
    """These people have written to the bot before."""
    for person in people:
        fake.chats[int(person.chat)] = Chat(int(person.chat), started=True)


def reached(fake: FakeTelegram) -> list[int]:
    """The chats of all messages that the platform took."""
    return [int(parameters["chat_id"]) for parameters in fake.called("sendMessage")]


async def test_kill_at_any_moment(office: Office) -> None:
    """kill -9 again and again: nobody gets it twice, and whoever did not get it is on the list of the uncertain, which stays short."""
    people = office.subscribe(400)
    number = office.due()
    kills = (3, 60, 130, 250)
    async with FakeTelegram.running() as fake:
        know(fake, people)
        for moment in kills:
            process = await start(office, fake)
            await fake.until(lambda moment=moment: len(reached(fake)) >= moment, 60)  # type: ignore[misc]
            process.kill()
            await process.wait()
        process = await start(office, fake)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        got = reached(fake)
        assert fake.refusals == []
    assert office.state(number) == "done"
    with office.store.engine.connect() as connection:
        listed = set(connection.execute(select(Delivery.subscriber).where(Delivery.state == "uncertain")).scalars())
    assert len(set(got)) == len(got), "nobody twice"
    missing = {person for person in people if int(person.chat) not in got}
    assert {office.subscribers.name(person) for person in missing} <= listed, "nobody skipped who is not listed"
    assert len(listed) <= len(kills) * 3 * RATE * CLAIM_SECONDS
    results = office.results(number)
    assert results.total("uncertain") == len(listed)
    assert results.total("sent") + results.total("uncertain") == len(people)


async def test_platform_that_misbehaves(office: Office) -> None:
    """429, 403, 5xx and a broken connection over real HTTP: each is what it means, nobody twice."""
    people = office.subscribe(40)
    number = office.due()
    async with FakeTelegram.running() as fake:
        know(fake, people)
        later = Fault("status", 429, "Too Many Requests: retry after 1", {"retry_after": 1})
        blocked = Fault("status", 403, "Forbidden: bot was blocked by the user")
        fake.fail("sendMessage", later, Fault("status", 500), blocked, Fault("drop"))
        process = await start(office, fake)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        got = reached(fake)
    results = office.results(number)
    assert len(set(got)) == len(got) == 39, "one of them arrived, though its answer did not"
    assert results.total("sent") == 38
    assert results.counts[("telegram", "stopped", "403")] == 1
    assert results.counts[("telegram", "uncertain", "unanswered")] == 1
    assert office.store.read_now(office.subscribers.size) == {"telegram": 39}


async def test_what_arrives_on_a_phone(office: Office) -> None:
    """The message as the platform gets it: words, the line about stopping, the button."""
    person = office.subscribe(1)[0]
    assert person == Address("telegram", "1")
    office.due()
    async with FakeTelegram.running() as fake:
        know(fake, [person])
        process = await start(office, fake)
        assert await asyncio.wait_for(process.wait(), 60) == 0
        sent = fake.called("sendMessage")[0]
    assert sent["text"].startswith(TEXT)
    assert "<i>" in sent["text"]
    assert "/berhenti" in str(sent["reply_markup"])
