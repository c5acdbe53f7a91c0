"""The pace: never more than the rate in any second, replies first, pauses for everybody."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.messages import Address
from bot.pacer import CHAT_SECONDS, MARGIN, Pacer, Recent
from tests.broadcast.conftest import Time

pytestmark = pytest.mark.anyio

Step = tuple[str, float]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bulk"), st.floats(0, 0.05)),
        st.tuples(st.just("reply"), st.floats(0, 0.03)),
        st.tuples(st.just("idle"), st.floats(0, 3)),
        st.tuples(st.just("pause"), st.floats(0, 2)),
    ),
    max_size=300,
)


def used(pacer: Pacer, time: Time, steps: list[Step]) -> tuple[list[float], list[tuple[float, float]]]:
    """The moments at which bulk messages were sent, by a sender that wakes up late now and then, and the pauses."""
    sent: list[float] = []
    pauses: list[tuple[float, float]] = []
    for action, much in steps:
        if action == "idle":
            time.now += much
        elif action == "pause":
            pacer.pause(much)
            pauses.append((time.now, time.now + much))
        elif action == "bulk":
            while delay := pacer.spare():
                time.now += delay + much
            sent.append(time.now)
        elif not pacer.paused:
            asyncio.run(pacer.reply())
    return sent, pauses


@settings(max_examples=300, deadline=None)
@given(rate=st.sampled_from([1, 5, 29, 30, 79.5, 80, 400, 1000]), steps=STEPS)
def test_never_more_than_the_rate_in_any_second(rate: float, steps: list[Step]) -> None:
    """Whatever is asked and however late the sender wakes up, no window of one second holds more than the rate."""
    time = Time()
    sent, _ = used(Pacer(rate, monotonic=time), time, steps * (1 if rate < 100 else 3))
    for index, moment in enumerate(sent):
        in_window = bisect_left(sent, moment + 1.0) - index
        assert in_window <= rate


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_nothing_is_sent_in_a_pause(steps: list[Step]) -> None:
    """A pause holds to its deadline, whoever asks and whatever was reserved before."""
    time = Time()
    sent, pauses = used(Pacer(30, monotonic=time), time, steps)
    assert not [moment for moment in sent for begin, end in pauses if begin < moment < end - 1e-9]


@pytest.mark.parametrize("rate", [30, 80, 1000])
def test_steady_rate_reaches_the_margin(rate: int) -> None:
    """A sender that is always ready gets at least 98 % of the rate, from a cold start too."""
    time = Time()
    pacer = Pacer(rate, monotonic=time)
    sent, _ = used(pacer, time, [("bulk", 0.0)] * (rate * 20))
    assert (len(sent) - 1) / (sent[-1] - sent[0]) >= 0.98 * rate
    assert MARGIN >= 0.98


def test_a_standstill_is_made_up_for() -> None:
    """A sender held up for 100 ms in every second reaches the rate all the same; who was idle does not hurry."""
    time = Time()
    pacer = Pacer(1000, monotonic=time)
    sent, _ = used(pacer, time, [*[("bulk", 0.0)] * 1000, ("idle", 0.1)] * 20)
    assert (len(sent) - 1) / (sent[-1] - sent[0]) >= 0.98 * 1000
    time.now += 60
    begun = time.now
    sent, _ = used(pacer, time, [("bulk", 0.0)] * 500)
    assert (len(sent) - 1) / (sent[-1] - begun) <= 1000


async def test_replies_pass_and_bulk_gives_up_their_slots() -> None:
    """A reply waits for nothing but a pause; each takes one slot from the bulk behind it."""
    time = Time()
    pacer = Pacer(10, monotonic=time, sleep=time.sleep)
    assert await pacer.wait_behind(longest=1.0)
    begun = time.now
    for _ in range(3):
        await pacer.reply()
    assert time.now == begun
    assert pacer.spare() == pytest.approx(4 * pacer.interval)
    pacer.pause(2.0)
    await pacer.reply()
    assert time.now == pytest.approx(begun + 2.0)


async def test_long_pause_gives_bulk_back() -> None:
    """Whoever waits behind is told of a long pause instead of being kept."""
    time = Time()
    pacer = Pacer(10, monotonic=time, sleep=time.sleep)
    pacer.pause(30)
    assert not await pacer.wait_behind(longest=0.5)
    await pacer.pause_nearly_over(at_most=60)
    assert 0 < pacer.paused <= 0.5
    assert await pacer.wait_behind(longest=0.5)


def test_distance_within_a_chat() -> None:
    """A chat that was written to has its distance, others have none, and old notes are forgotten."""
    time = Time()
    recent = Recent(monotonic=time)
    recent.note(Address("whatsapp", "a"))
    assert recent.wait(Address("whatsapp", "a")) == CHAT_SECONDS["whatsapp"]
    assert recent.wait(Address("whatsapp", "b")) == 0.0
    time.now += 10
    assert recent.wait(Address("whatsapp", "a")) == 0.0
    for number in range(Recent.KEPT + 2):
        recent.note(Address("whatsapp", str(number)))
        time.now += 0.001
    assert len(recent._last) < Recent.KEPT
