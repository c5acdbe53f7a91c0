"""The pace of single chats, on a clock of its own."""

from __future__ import annotations

import pytest

from bot.channels.chat_pace import CHAT_SECONDS, KEPT, SLOW_SECONDS, ChatPace

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The loop that the program runs on."""
    return "asyncio"


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def time() -> Time:
    """The clock."""
    return Time()


@pytest.fixture
def pace(time: Time) -> ChatPace:
    """The pace under test."""
    return ChatPace(monotonic=lambda: time.now, sleep=time.sleep)


async def test_replies_go_out_at_once(pace: ChatPace, time: Time) -> None:
    """Nobody waits whom the platform has not refused."""
    for _ in range(10):
        await pace.turn("a")
        pace.sent("a")
    assert time.now == 1000.0


async def test_refused_chat_waits_and_is_slow_for_a_minute(pace: ChatPace, time: Time) -> None:
    """It waits as long as it was told, then has a message a second, then is as any other; another chat never waits."""
    pace.sent("a")
    assert pace.refused("a", 7)
    await pace.turn("b")
    assert time.now == 1000.0
    await pace.turn("a")
    assert time.now == 1007.0
    pace.sent("a")
    await pace.turn("a")
    assert time.now == pytest.approx(1007.0 + CHAT_SECONDS)
    time.now = 1007.0 + SLOW_SECONDS
    pace.sent("a")
    await pace.turn("a")
    assert time.now == 1007.0 + SLOW_SECONDS


async def test_chat_that_was_left_alone_is_not_the_reason(pace: ChatPace, time: Time) -> None:
    """A first message that is refused is everybody's matter; a slow chat's second refusal is its own however long it waited."""
    assert not pace.refused("a", 5)
    pace.sent("a")
    assert pace.refused("a", 20)
    await pace.turn("a")
    assert pace.refused("a", 1)


async def test_what_is_remembered_is_bounded(pace: ChatPace, time: Time) -> None:
    """Chats of long ago are forgotten."""
    for number in range(KEPT):
        pace.sent(str(number))
    time.now += 100
    pace.sent("new")
    assert not pace.refused("1", 5)
    assert pace.refused("new", 5)
