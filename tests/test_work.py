"""Turns of many chats in one transaction: a bad one costs the others nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from bot.chat import Chat
from bot.messages import Address, Inbound
from bot.outbox import Sender
from bot.questions import text
from bot.turn import NotReady, Talk, Turn
from bot.work import Due, Taken, Unready, Worker
from storage.evidence import Cleaner
from tests.talk import Machine

ANI, BUDI, CICI = (Address("telegram", name) for name in ("ani", "budi", "cici"))


async def echo(chat: Chat) -> str:
    """Asks for words and returns them."""
    chat.count("echo.asked")
    return await chat.ask("words", text())


def keep(words: str, turn: Turn) -> None:
    """Writes, and then fails or is not ready, as the words say."""
    turn.connection.exec_driver_sql(f"INSERT INTO kept VALUES ('{words}')")
    if words == "gagal":
        raise ValueError("on purpose")
    if words == "lambat":
        raise NotReady("receipt")


class Desk:
    """A worker whose turns are taken by hand."""

    def __init__(self, machine: Machine, cleaner: Cleaner) -> None:
        self.machine, self.counted = machine, dict[str, int]()
        machine.extra = {"echo": Talk(echo, keep, words=("echo",))}
        machine.speaks(echo__words="Apa?")
        machine.store.write_now(lambda connection: connection.exec_driver_sql("CREATE TABLE kept (words TEXT)"))
        channels: dict[str, Any] = {}
        self.worker = Worker(
            machine.store,
            machine.conversations,
            machine.conductor(),
            channels,
            Sender(machine.store, machine.conversations, channels),
            cleaner,
            machine.receipts,
            machine.sessions,
            machine.cases.known,
            machine.clock,
            count=self.count,
        )
        self.number = 0

    def count(self, connection: Connection, numbers: Mapping[tuple[date, str], int]) -> None:
        """Note what was counted."""
        for (_, name), number in numbers.items():
            self.counted[name] = self.counted.get(name, 0) + number

    def due(self, address: Address, words: str) -> Due:
        """Take a message in."""
        self.number += 1
        inbound = Inbound(address, str(self.number), text=words)
        received = self.machine.store.write_now(lambda connection: self.machine.conversations.receive(connection, inbound))
        assert received is not None
        return Due((received.id,), inbound)

    def take(self, *turns: Due) -> list[Taken | BaseException | None]:
        """Take these turns together."""
        return self.machine.store.write_now(lambda connection: self.worker.take_all(connection, turns))

    def kept(self) -> list[str]:
        """What the keepers wrote."""
        return self.machine.store.read_now(lambda connection: list(connection.exec_driver_sql("SELECT words FROM kept").scalars()))

    def waits(self) -> list[int]:
        """The inbox rows that are still there."""
        return [one.id for one in self.machine.store.read_now(self.machine.conversations.waiting)]


@pytest.fixture
def desk(machine: Machine, tmp_path: Path) -> Iterator[Desk]:
    """A worker over a fresh machine, three chats of which stand before the same question."""
    cleaner = Cleaner()
    made = Desk(machine, cleaner)
    made.take(*(made.due(one, "echo") for one in (ANI, BUDI, CICI)))
    yield made
    cleaner.close()


def test_turns_that_are_taken_together_are_the_same_as_alone(desk: Desk) -> None:
    """Each chat gets its own answers, ready to be sent in order; what happened is counted once for all."""
    assert desk.counted == {"echo.asked": 3}
    ani, budi = desk.take(desk.due(ANI, "satu"), desk.due(BUDI, "dua"))
    assert isinstance(ani, Taken) and isinstance(budi, Taken)
    assert desk.kept() == ["satu", "dua"] and desk.waits() == []
    assert {row.address for row in ani.queued} == {ANI} and {row.address for row in budi.queued} == {BUDI}
    stored = desk.machine.store.read_now(lambda connection: desk.machine.conversations.unsent(connection, address=ANI))
    assert stored[-len(ani.queued) :] == ani.queued


def test_a_bad_turn_costs_the_others_nothing(desk: Desk) -> None:
    """What it wrote is undone, its message stays in the inbox, and the others stand."""
    bad = desk.due(BUDI, "gagal")
    ani, budi, cici = desk.take(desk.due(ANI, "satu"), bad, desk.due(CICI, "tiga"))
    assert isinstance(ani, Taken) and isinstance(cici, Taken) and isinstance(budi, ValueError)
    assert desk.kept() == ["satu", "tiga"]
    assert desk.waits() == list(bad.inbox_ids)


def test_a_turn_that_waits_for_slow_work_writes_nothing(desk: Desk) -> None:
    """It is taken again when the work is done; the others go on at once."""
    slow = desk.due(BUDI, "lambat")
    ani, budi = desk.take(desk.due(ANI, "satu"), slow)
    assert isinstance(ani, Taken) and isinstance(budi, Unready) and budi.work == "receipt"
    assert desk.kept() == ["satu"] and desk.waits() == list(slow.inbox_ids)


def test_a_message_that_was_answered_has_no_second_turn(desk: Desk) -> None:
    """Among others that have theirs."""
    once = desk.due(ANI, "satu")
    desk.take(once)
    again, budi = desk.take(once, desk.due(BUDI, "dua"))
    assert again is None and isinstance(budi, Taken)
    assert desk.kept() == ["satu", "dua"]
