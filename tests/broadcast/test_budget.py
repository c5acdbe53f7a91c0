"""One pace for several processes: leases from one row, replies counted, pauses known to all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine, text

from bot.budget import SharedBudget
from bot.pacer import LEASE_SECONDS, Pacer
from storage.budget import draw
from storage.store import connect
from tests.postgres import empty

pytestmark = pytest.mark.anyio

RATE = 200.0


@pytest.fixture
def engine(migrated_postgres: str) -> Iterator[Engine]:
    """A PostgreSQL without rows."""
    empty(migrated_postgres)
    made = connect(migrated_postgres)
    yield made
    made.dispose()


class Process:
    """What one process has: a pacer, and its part of the budget."""

    def __init__(self, engine: Engine) -> None:
        self.pacer = Pacer(RATE)
        self.budget = SharedBudget(engine, {"telegram": self.pacer})
        self.sent: list[float] = []

    async def send(self, seconds: float) -> None:
        """Send in bulk for so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await self.pacer.wait_behind(longest=60)
            self.sent.append(loop.time())


@pytest.fixture
async def three(engine: Engine) -> AsyncIterator[list[Process]]:
    """Three processes on one row."""
    found = [Process(engine) for _ in range(3)]
    for one in found:
        await one.budget.start()
    yield found
    for one in found:
        await one.budget.stop()


def fullest(moments: list[float]) -> int:
    """The most in any window of a second."""
    return max(sum(1 for later in moments if 0 <= later - first < 1.0) for first in moments)


async def test_together_they_send_no_more_than_one_may(three: list[Process]) -> None:
    """Three senders reach the rate of one, and pass it in no second."""
    begun = asyncio.get_running_loop().time()
    await asyncio.gather(*(one.send(2.5) for one in three))
    moments = sorted(itertools.chain(*(one.sent for one in three)))
    assert all(one.sent for one in three)
    assert fullest(moments) <= RATE * 1.01
    assert len(moments) / (moments[-1] - begun) >= 0.5 * RATE, "half at least, on the busiest machine"


async def test_leases_follow_one_another(engine: Engine) -> None:
    """No two leases overlap, whoever asks; what nobody asked for in time is not made up for."""
    leases = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(5):
            leases.append(draw(connection, "telegram", 0.1, 0.0, 0.005))
        for earlier, later in itertools.pairwise(leases):
            assert later.begin == pytest.approx(earlier.end)
        connection.execute(text("UPDATE send_budget SET next = next - 1000"))
        late = draw(connection, "telegram", 0.1, 0.0, 0.005)
        assert late.begin == pytest.approx(late.now - 0.005, abs=0.05)
        assert draw(connection, "whatsapp", 0.1, 0.0, 0.005).begin < late.end + 1.0


async def test_replies_move_the_row_and_never_far(engine: Engine) -> None:
    """What was sent in replies is skipped, five seconds at most; a database clock that was set back costs no more either."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        first = draw(connection, "telegram", 0.1, 0.0, 0.005)
        assert draw(connection, "telegram", 0.1, 0.2, 0.005).begin == pytest.approx(first.end + 0.2)
        far = draw(connection, "telegram", 0.1, 100.0, 0.005)
        assert far.begin == pytest.approx(far.now + 5.0, abs=0.1)
        connection.execute(text("UPDATE send_budget SET next = next + 3600"))
        back = draw(connection, "telegram", 0.1, 0.0, 0.005)
        assert back.begin == pytest.approx(back.now + 5.0, abs=0.1)


async def test_a_process_without_a_lease_tells_of_its_replies(
    three: list[Process], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies pass at once, and a moment later the row has moved by as many slots, in one statement."""
    monkeypatch.setattr("bot.pacer.TELL_SECONDS", 0.05)
    web, begun = three[0], asyncio.get_running_loop().time()
    for _ in range(400):
        await web.pacer.reply()
    assert asyncio.get_running_loop().time() - begun < 0.5
    async with asyncio.timeout(10):
        while not (row := await asyncio.to_thread(owed, engine)):
            await asyncio.sleep(0.01)
    assert row > 200 / RATE, "most of four hundred slots are still ahead"


def owed(engine: Engine) -> float:
    """How far the row lies ahead."""
    with engine.connect() as connection:
        ahead = connection.execute(text("SELECT next - extract(epoch FROM clock_timestamp())::float8 FROM send_budget")).scalar()
        return max(0.0, float(ahead or 0.0))


async def test_a_pause_that_one_is_told_holds_all(three: list[Process]) -> None:
    """Within a moment nobody sends any more, leases notwithstanding, and all go on when it is over."""
    sending = [asyncio.create_task(one.send(2.0)) for one in three]
    await asyncio.sleep(0.5)
    loop = asyncio.get_running_loop()
    three[0].pacer.pause(1.0)
    told = loop.time()
    await asyncio.gather(*sending)
    for one in three:
        during = [moment for moment in one.sent if told + LEASE_SECONDS / 2 < moment < told + 0.95]
        assert not during
    assert any(moment > told + 1.0 for one in three for moment in one.sent)


async def test_without_the_database_nothing_is_sent_in_bulk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what the others send then: bulk waits, replies pass, and both go on afterwards."""
    monkeypatch.setattr("bot.pacer.AGAIN_SECONDS", 0.05)
    one = Process(engine)
    real, fails = one.budget.engine, True

    def broken(sender: str, span: float, owed: float, late: float) -> object:
        if fails:
            raise ConnectionError
        return SharedBudget._draw(one.budget, sender, span, owed, late)

    monkeypatch.setattr(one.budget, "_draw", broken)
    waiting = asyncio.create_task(one.pacer.wait_behind(longest=60))
    await one.pacer.reply()
    await asyncio.sleep(0.3)
    assert not waiting.done()
    fails = False
    assert await asyncio.wait_for(waiting, 10)
    assert real is engine
    await one.budget.stop()
