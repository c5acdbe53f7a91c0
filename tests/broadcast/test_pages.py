"""A broadcast as pages that several processes walk: each job by hand, in any order, twice, by the wrong one, or never."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import Connection, func, select

from bot.broadcast import PAGE_JOB, PAGES_PER_WORKER, Broadcaster
from bot.channels.limits import SendError
from bot.messages import Address
from storage import pages
from storage.drafts import OnWhatsApp
from storage.jobs import Argument
from storage.models import BroadcastPage, Delivery
from tests.broadcast.conftest import Office

pytestmark = pytest.mark.anyio


class Queue:
    """The jobs that were deferred, done by hand."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, int]] = []

    def defer(self, connection: Connection, name: str, /, *, at: datetime | None = None, lock: str = "", **arguments: Argument) -> None:
        """Note a job."""
        assert name == PAGE_JOB
        self.waiting.append({name: int(value) for name, value in arguments.items()})

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""


class Several:
    """A leader that lays out and two processes that walk."""

    def __init__(self, office: Office) -> None:
        self.office, self.queue = office, Queue()
        self.leader, self.other = self.process(), self.process()

    def process(self) -> Broadcaster:
        """One more process."""
        made = self.office.process()
        made.share(self.queue, lambda connection: 2)
        return made

    async def walk(self, job: dict[str, int], by: Broadcaster | None = None) -> None:
        """Do one job."""
        await (by or self.other).walk_page(broadcast=job["broadcast"], page=job["page"], turn=job["turn"])

    async def finish(self, number: int) -> None:
        """Let the leader look, and every job be done by the two in turn, until the broadcast is over."""
        for _ in range(200):
            await self.leader.tick()
            if self.office.state(number) == "done":
                return
            jobs, self.queue.waiting = self.queue.waiting, []
            await asyncio.gather(*(self.walk(job, (self.leader, self.other)[at % 2]) for at, job in enumerate(jobs)))
            self.office.clock.forward(seconds=2)
            self.office.time.now += 2
        raise AssertionError(f"broadcast {number} is still {self.office.state(number)}")

    def pages(self) -> int:
        """How many pages there are."""
        return self.office.store.read_now(
            lambda connection: connection.execute(select(func.count()).select_from(BroadcastPage)).scalar_one()
        )


@pytest.fixture
def several(office: Office, monkeypatch: pytest.MonkeyPatch) -> Several:
    """Three processes and pages of ten."""
    monkeypatch.setattr(pages, "SIZE", 10)
    return Several(office)


async def test_everybody_is_reached_once_whoever_walks(several: Several) -> None:
    """Sixty-three people are seven pages; two processes walk them and nothing is left of the pages."""
    people = several.office.subscribe(63)
    number = several.office.due()
    await several.finish(number)
    assert sorted(several.office.telegram.chats) == sorted(person.chat for person in people)
    assert several.office.results(number).total("sent") == 63
    assert several.pages() == 0


async def test_no_more_pages_than_the_processes_can_walk(several: Several) -> None:
    """Two processes have four pages ahead; a page that is done makes room for the next one, without the leader."""
    several.office.subscribe(100)
    several.office.due()
    await several.leader.tick()
    assert len(several.queue.waiting) == several.pages() == 2 * PAGES_PER_WORKER
    await several.leader.tick()
    assert len(several.queue.waiting) == 2 * PAGES_PER_WORKER, "a page waits for one job at a time"
    await several.walk(several.queue.waiting.pop(0))
    assert len(several.queue.waiting) == several.pages() == 2 * PAGES_PER_WORKER


async def test_a_job_that_is_done_twice_sends_nothing_twice(several: Several) -> None:
    """A job that comes again after its page is done, or while another has its page, finds nothing to do."""
    several.office.subscribe(20)
    number = several.office.due()
    await several.leader.tick()
    job = several.queue.waiting.pop(0)
    await several.walk(job)
    await several.walk(job, several.leader)
    assert len(several.office.telegram.sent) == 10
    await asyncio.gather(*(several.walk(job, by) for by in (several.leader, several.other) for job in list(several.queue.waiting)))
    await several.finish(number)
    chats = several.office.telegram.chats
    assert len(chats) == len(set(chats)), "whoever lost the page stopped; what was claimed then is uncertain, never repeated"
    assert len(chats) + several.office.results(number).total("uncertain") >= 20


async def test_a_page_whose_process_died_goes_on_with_another(several: Several) -> None:
    """What the dead one had claimed is uncertain, the rest is sent; another broadcast page is not doubted with it."""
    office = several.office
    office.subscribe(20)
    number = office.due()
    await several.leader.tick()
    first, second = several.queue.waiting

    def die(connection: Connection) -> None:
        held = [pages.open_page(connection, office.broadcasts, number, job["page"], job["turn"], "dead") for job in (first, second)]
        for page in held:
            assert page is not None
            names = office.broadcasts.candidates(connection, page.broadcast, "telegram", "WIB", after=page.cursor, limit=3, last=page.last)
            office.broadcasts.claim(
                connection, page.broadcast, "telegram", "dead", zones=["WIB"], lane="WIB", names=names, page=page.number
            )

    office.store.write_now(die)
    await several.walk(first)
    open_ones = select(Delivery.page, Delivery.state, func.count()).group_by(Delivery.page, Delivery.state)
    with office.store.engine.connect() as connection:
        assert sorted(map(tuple, connection.execute(open_ones))) == [(first["page"], "uncertain", 3), (second["page"], "claimed", 3)]
    several.queue.waiting = [second]
    await several.finish(number)
    assert office.results(number).total("sent") == 14
    assert office.results(number).total("uncertain") == 6


async def test_a_page_that_nobody_takes_gets_another_job(several: Several) -> None:
    """A job that was lost is made again after a minute; the lost one, should it come after all, finds nothing to do."""
    several.office.subscribe(5)
    number = several.office.due()
    await several.leader.tick()
    lost = several.queue.waiting.pop()
    several.office.clock.forward(seconds=pages.QUEUED_SECONDS + 1)
    await several.leader.tick()
    assert [job["turn"] for job in several.queue.waiting] == [lost["turn"] + 1]
    await several.walk(lost)
    assert not several.office.telegram.sent
    await several.finish(number)


async def test_pause_and_stop_hold_pages_and_going_on_takes_them_up(several: Several) -> None:
    """A held broadcast lets its pages go at the next claim; when it goes on, jobs are made for what is left."""
    office = several.office
    office.subscribe(40)
    number = office.due()
    await several.leader.tick()
    office.store.write_now(lambda connection: office.broadcasts.pause(connection, number, "by_staff"))
    jobs, several.queue.waiting = several.queue.waiting, []
    for job in jobs:
        await several.walk(job)
    await several.leader.tick()
    assert not office.telegram.sent and not several.queue.waiting
    office.store.write_now(lambda connection: office.broadcasts.resume(connection, number))
    office.store.write_now(lambda connection: office.broadcasts.stop_all(connection, "budi"))
    await several.leader.tick()
    assert not several.queue.waiting
    office.store.write_now(office.broadcasts.release)
    await several.finish(number)
    assert len(office.telegram.sent) == 40


async def test_what_is_tried_again_later_keeps_no_process_waiting(several: Several) -> None:
    """A page with nothing but a long wait before it is let go, and taken up when the time has come."""
    office = several.office
    people = office.subscribe(12)
    office.telegram.trouble[people[3].chat] = [SendError("down", seconds=60.0)]
    number = office.due()
    await several.leader.tick()
    jobs, several.queue.waiting = several.queue.waiting, []
    async with asyncio.timeout(5):
        for job in jobs:
            await several.walk(job)
    assert several.pages() == 1
    assert len(office.telegram.sent) == 11
    await several.finish(number)
    assert len(office.telegram.sent) == 12


async def test_an_end_in_order_gives_the_page_back_at_once(several: Several) -> None:
    """A process that is told to end lets its pages go: nobody is uncertain, and the next look makes a job of them."""
    office = several.office
    office.subscribe(10)
    number = office.due()
    await several.leader.tick()
    reached = asyncio.Event()

    async def slowly(address: Address) -> None:
        reached.set()
        await asyncio.sleep(0)

    office.telegram.before = slowly
    walking = asyncio.create_task(several.walk(several.queue.waiting.pop()))
    await reached.wait()
    await several.other.stop()
    await walking
    await several.finish(number)
    assert office.results(number).total("uncertain") == 0
    assert len(office.telegram.sent) == 10


async def test_a_budget_of_templates_is_walked_by_one_page_at_a_time(several: Several) -> None:
    """What a page costs is known before the next one is opened, so that two cannot spend the same."""
    office = several.office
    office.subscribe(30, "whatsapp")
    template = {"id": OnWhatsApp(template="HX" + "a" * 32, wording="Besok masa tenang. Balas BERHENTI untuk berhenti.")}
    draft = replace(
        office.draft(),
        whatsapp=template,
        templates_at_most=15,
        audience=replace(office.draft().audience, channels=("whatsapp",)),
        telegram={},
    )
    number = office.due(draft)
    await several.leader.tick()
    assert several.pages() == 1
    await several.finish(number)
    assert len(office.whatsapp.sent) == 15
    assert office.results(number).counts[("whatsapp", "skipped", "budget")] == 15
