"""Several processes on one PostgreSQL, each step by hand: who may take a turn, who sends, what the dead leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from bot.messages import Address, Inbound, Outbound, Span
from storage.conversations import Conversations
from storage.models import Process
from storage.processes import DEAD_AFTER_SECONDS, Processes, new_name
from storage.store import Store
from storage.vault import EpochKeys
from tests.conftest import Clock
from tests.postgres import empty

CHAT = Address("telegram", "4711")


class Replica:
    """A process with its own store and its own name, on a database and a run folder that all share."""

    def __init__(self, url: str, folder: Path, *, may_lead: bool = True) -> None:
        self.store = Store(url)
        self.kept = Conversations(EpochKeys(folder / "run", Clock()), new_name())
        self.processes = Processes(self.kept.owner, may_lead)
        self.store.write_now(self.processes.beat)

    def receive(self, number: int) -> int:
        """Take a message in; its inbox row."""
        inbound = Inbound(CHAT, str(number), text=f"kata {number}")
        received = self.store.write_now(lambda connection: self.kept.receive(connection, inbound))
        assert received is not None
        return received.id

    def behind(self, row: int) -> bool:
        """Whether another message comes first."""
        return bool(self.store.read_now(lambda connection: self.kept.behind(connection, {CHAT: [row]})))

    def answered(self, row: int) -> bool:
        """Take the turn of a row."""

        def take(connection: Connection) -> bool:
            due = self.kept.due(connection, [row])
            self.kept.answered(connection, list(due))
            return bool(due)

        return self.store.write_now(take)

    def say(self, words: str) -> None:
        """Put a message into the outbox."""
        self.store.write_now(lambda connection: self.kept.send(connection, CHAT, Outbound((Span(words),))))

    def owners(self) -> list[str]:
        """Who sends what waits for the chat, in order."""
        return [row.owner for row in self.store.read_now(lambda connection: self.kept.unsent(connection, address=CHAT))]

    def mine(self) -> list[int]:
        """The inbox rows that are this process's to answer."""
        return [received.id for received in self.store.read_now(self.kept.waiting)]

    def silent(self, seconds: float) -> None:
        """Have been silent for so long."""
        change = update(Process).where(Process.name == self.kept.owner).values(beat=Process.beat - seconds)
        self.store.write_now(lambda connection: connection.execute(change))

    def take_over(self) -> tuple[int, int]:
        """Take what the dead left."""
        return self.store.write_now(self.processes.take_over)


@pytest.fixture
def two(migrated_postgres: str, tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Two processes on one database."""
    empty(migrated_postgres)
    one, other = Replica(migrated_postgres, tmp_path), Replica(migrated_postgres, tmp_path)
    yield one, other
    one.store.close()
    other.store.close()


def test_a_chats_messages_wait_for_each_other_across_processes(two: tuple[Replica, Replica]) -> None:
    """The second message, received by another process, is behind until the first has had its turn."""
    one, other = two
    first, second = one.receive(1), other.receive(2)
    assert not one.behind(first)
    assert other.behind(second)
    assert one.answered(first)
    assert not other.behind(second)


def test_a_turn_counts_once_whoever_takes_it(two: tuple[Replica, Replica]) -> None:
    """A row that was taken over from a process that was only slow is answered by the first of the two."""
    one, other = two
    row = one.receive(1)
    assert other.answered(row)
    assert not one.answered(row)


def test_the_rows_of_the_dead_are_taken_over_once_and_those_of_the_living_never(two: tuple[Replica, Replica]) -> None:
    """After 15 silent seconds, and not before, another process owns the rows, in their order."""
    one, other = two
    rows = [one.receive(1), one.receive(2)]
    one.say("halo")
    one.silent(DEAD_AFTER_SECONDS - 5)
    assert other.take_over() == (0, 0)
    one.silent(DEAD_AFTER_SECONDS)
    assert other.take_over() == (2, 1)
    assert other.take_over() == (0, 0)
    assert (one.mine(), other.mine()) == ([], rows)
    assert other.owners() == [other.kept.owner]


def test_a_process_that_leaves_frees_its_rows_at_once(two: tuple[Replica, Replica]) -> None:
    """After an orderly end nobody waits for a timeout."""
    one, other = two
    row = one.receive(1)
    one.store.write_now(one.processes.leave)
    assert other.take_over() == (1, 0)
    assert other.mine() == [row]


def test_the_eldest_leads_until_it_dies(two: tuple[Replica, Replica]) -> None:
    """Exactly one leads; a dead leader is followed by the next, and learns on its return that it was given up."""
    one, other = two
    assert one.store.write_now(one.processes.beat).leads
    assert not other.store.write_now(other.processes.beat).leads
    one.silent(DEAD_AFTER_SECONDS + 1)
    other.take_over()
    assert other.store.write_now(other.processes.beat).leads
    back = one.store.write_now(one.processes.beat)
    assert not back.known
    assert not back.leads


def test_a_process_without_the_right_never_leads(migrated_postgres: str, tmp_path: Path) -> None:
    """A web replica leads not even where it is alone."""
    empty(migrated_postgres)
    web = Replica(migrated_postgres, tmp_path, may_lead=False)
    assert not web.store.write_now(web.processes.beat).leads
    web.store.close()


def test_a_second_delivery_to_another_process_is_dropped(two: tuple[Replica, Replica]) -> None:
    """A platform that repeats an update reaches another replica: it is known there."""
    one, other = two
    one.receive(1)
    again = Inbound(CHAT, "1", text="kata 1")
    assert other.store.write_now(lambda connection: other.kept.receive(connection, again)) is None
