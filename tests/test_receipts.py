"""Receipt codes at the door: found in any words, taken out of them, kept in memory for a short while."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Address, Inbound
from bot.receipts import LOCKED_SECONDS, QUEUE, SESSION_SECONDS, WRONG_CODES, CodeSessions, LastGroups, find_code, readable
from storage.vault import Receipt, Receipts, damm, grouped, new_code
from tests.nasty import NASTY

HERE, THERE = Address("web_chat", "one"), Address("web_chat", "two")
CODES = st.integers(0, 10**19 - 1).map(lambda number: f"{number:019d}").map(lambda digits: digits + damm(digits))
GAPS = st.sampled_from(["", " ", "-", ".", " - ", "\n", "\u00a0", "–", "/"])
SCRIPTS = st.sampled_from([0x30, 0xFF10, 0x0660, 0x06F0, 0x0966, 0x09E6])
WORDS = st.text(st.characters(exclude_categories=("Nd", "No", "Nl", "Cs")), max_size=30)


class Counted(Receipts):
    """Receipts without the slow derivation, counting how often it was asked for."""

    def __init__(self) -> None:
        super().__init__(b"p" * 32)
        self.derived: list[bytes] = []

    def derive(self, hashed: bytes) -> Receipt:
        """A quick one."""
        self.derived.append(hashed)
        return Receipt(hashed[:16], hashed[:32])


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    """The clock."""
    return Seconds()


@pytest.fixture
def sessions(seconds: Seconds) -> CodeSessions:
    """Code sessions over quick receipts."""
    return CodeSessions(Counted(), seconds)


def came(sessions: CodeSessions, words: str, address: Address = HERE, *, known: bool = True) -> str:
    """A message with a code comes and is derived; its handle."""
    handle = sessions.at_the_door(Inbound(address, "1", text=words)).receipt
    sessions.derive(handle, address, lambda receipt: known)
    return handle


@given(CODES, WORDS, WORDS, GAPS, SCRIPTS)
def test_a_code_is_found_in_any_words(code: str, before: str, after: str, gap: str, script: int) -> None:
    """In groups or not, in digits of any script; what is left holds no digit of it."""
    written = gap.join(code[start : start + 4] for start in range(0, 20, 4)).translate(
        {0x30 + digit: script + digit for digit in range(10)}
    )
    found, without = find_code(f"{before} {written} {after}")
    assert found == code
    assert without.count("[kode]") >= 1
    assert code not in re.sub(r"\D", "", without)


@given(CODES, CODES, WORDS)
def test_all_codes_are_taken_out(first: str, second: str, words: str) -> None:
    """Not only the one that is used."""
    found, without = find_code(f"{grouped(first)} {words}, {second}")
    assert found == first
    assert second not in without and without.count("[kode]") == 2 + words.count("[kode]")


@given(CODES, st.integers(0, 19), st.integers(1, 9))
def test_a_code_with_a_wrong_digit_is_none(code: str, place: int, change: int) -> None:
    """The check digit catches every single error."""
    wrong = code[:place] + str((int(code[place]) + change) % 10) + code[place + 1 :]
    assert find_code(wrong) == ("", wrong)


@pytest.mark.parametrize(
    "words", ["", "tanpa angka", "0812-3456-7890", "1871012304880001", "Rp 100.000.000", "1" * 19, "1" * 21, "9" * 5000]
)
def test_other_numbers_are_left_alone(words: str) -> None:
    """Telephone numbers, identity numbers, money, and rows of digits that are longer than a code."""
    assert find_code(words) == ("", words)


@pytest.mark.parametrize("words", NASTY)
def test_odd_words_pass_the_door(sessions: CodeSessions, words: str) -> None:
    """Whatever comes can be stored afterwards, and it does not take long."""
    safe = sessions.at_the_door(Inbound(HERE, "1", text=words))
    assert len(safe.text.encode()) <= len(words) * 60


def test_what_nobody_types_is_taken_out() -> None:
    """Controls, halves of characters, invisible and turning marks; scripts, emoji, lines and tabs stay."""
    assert readable("a\x00\x1b\ud800\u200b\u202e\u2066\ufeffb") == "ab"
    kept = "Baris\n\tdua مرحبا 👨‍👩‍👧 é e\u0301 ꦲꦏ꧀"
    assert readable(kept) == kept
    assert readable("a\r\nb\rc") == "a\nb\nc"


@given(CODES)
def test_invisible_signs_hide_no_code(code: str) -> None:
    """Phones put them between digits when numbers are copied."""
    sessions = CodeSessions(Counted(), Seconds())
    safe = sessions.at_the_door(Inbound(HERE, "1", text="\u202d" + "\u200b".join(code) + "\u202c"))
    assert safe.receipt and safe.text == "[kode]"


def test_the_message_goes_on_with_a_handle(sessions: CodeSessions) -> None:
    """Random, another one each time; the session knows the code's last group alone."""
    code = new_code()
    first, second = (sessions.at_the_door(Inbound(HERE, "1", text=code)) for _ in range(2))
    assert first.text == "[kode]" and first.receipt != second.receipt
    assert sessions.last_group(first.receipt) == code[-4:]
    assert sessions.last_group("unknown") == ""
    assert code not in repr(sessions._sessions)


def test_a_code_is_derived_once(sessions: CodeSessions) -> None:
    """However many turns use it."""
    handle = sessions.at_the_door(Inbound(HERE, "1", text=new_code())).receipt
    assert sessions.needs_work(handle) and sessions.get(handle) is None
    sessions.derive(handle, HERE, lambda receipt: True)
    assert not sessions.needs_work(handle)
    assert sessions.get(handle) == sessions.get(handle) is not None
    sessions.end(handle)
    sessions.end(handle)
    assert sessions.get(handle) is None


def test_a_session_ends_after_a_quarter_of_an_hour(sessions: CodeSessions, seconds: Seconds) -> None:
    """Counted from its last use; what is over is dropped when the next code comes."""
    handle = came(sessions, new_code())
    for _ in range(3):
        seconds.now += SESSION_SECONDS - 1
        assert sessions.get(handle) is not None
    seconds.now += SESSION_SECONDS + 1
    assert sessions.get(handle) is None
    came(sessions, new_code())
    assert handle not in sessions._sessions


def test_keys_of_a_session_that_is_over_leave_memory(sessions: CodeSessions, seconds: Seconds) -> None:
    """With the next message of anybody, code or not, nothing of an old session is left."""
    came(sessions, new_code())
    came(sessions, new_code(), known=False)
    seconds.now += max(SESSION_SECONDS, LOCKED_SECONDS) + 1
    assert sessions._sessions and sessions._wrong
    sessions.at_the_door(Inbound(THERE, "2", text="halo"))
    assert not sessions._sessions and not sessions._wrong


def test_wrong_codes_lock_one_chat_for_a_while(sessions: CodeSessions, seconds: Seconds) -> None:
    """The sixth is not even derived; other chats, and the same chat later, are not touched."""
    for _ in range(WRONG_CODES):
        assert not sessions.locked(came(sessions, new_code(), known=False))
    derived = len(sessions.receipts.derived)  # type: ignore[attr-defined]
    locked = came(sessions, new_code())
    assert sessions.locked(locked) and sessions.get(locked) is None
    assert len(sessions.receipts.derived) == derived  # type: ignore[attr-defined]
    assert not sessions.locked(came(sessions, new_code(), THERE))
    seconds.now += LOCKED_SECONDS + 1
    assert not sessions.locked(came(sessions, new_code()))


def test_right_codes_never_lock(sessions: CodeSessions) -> None:
    """Who looks often is not punished."""
    for _ in range(WRONG_CODES * 3):
        assert not sessions.locked(came(sessions, new_code(), known=True))


def test_where_too_many_codes_wait_the_next_is_told_to_come_back(sessions: CodeSessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """One code at a time, eight in the queue; who comes then is not tried and not locked, and the queue is free again later."""
    gate, tried = threading.Event(), []

    def slowly(hashed: bytes) -> Receipt:
        gate.wait(10)
        tried.append(hashed)
        return Receipt(b"l" * 16, b"w" * 32)

    monkeypatch.setattr(sessions.receipts, "derive", slowly)

    async def crowd() -> list[str]:
        handles = [sessions.at_the_door(Inbound(Address("web_chat", str(n)), str(n), text=new_code())).receipt for n in range(QUEUE + 3)]
        runs = [asyncio.create_task(sessions.derive_in_turn(handle, HERE, lambda receipt: True)) for handle in handles]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*runs)
        return handles

    handles = asyncio.run(crowd())
    assert [sessions.busy(handle) for handle in handles] == [False] * (QUEUE + 1) + [True, True] and len(tried) == QUEUE + 1
    assert not sessions.needs_work(handles[-1]) and not sessions.locked(handles[-1]) and sessions.get(handles[-1]) is None
    again = sessions.at_the_door(Inbound(HERE, "again", text=new_code())).receipt
    asyncio.run(sessions.derive_in_turn(again, HERE, lambda receipt: True))
    assert sessions.get(again) is not None


def test_a_handle_that_is_unknown_is_no_fault(sessions: CodeSessions) -> None:
    """After a restart, handles of the inbox mean nothing."""
    sessions.derive("unknown", HERE, lambda receipt: True)
    assert not sessions.needs_work("unknown") and not sessions.locked("unknown") and sessions.get("unknown") is None


def test_the_last_group_is_compared() -> None:
    """What is forgotten fits anything, since there is nothing to compare with."""
    groups = LastGroups()
    handle = groups.keep("12345678901234567890")
    assert groups.fits(handle, "7890") and not groups.fits(handle, "7891")
    assert groups.fits("forgotten", "0000")
