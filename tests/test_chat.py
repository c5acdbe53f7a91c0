"""The conversation engine by itself: replay by name, without storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import pytest

from bot.chat import Chat, Pause, Rejected
from bot.messages import Answer
from bot.questions import YES, choice, text, yes_no
from bot.turn import drive

NOW = datetime(2024, 11, 18, 10, 0)
Answers = dict[str, dict[str, Any]]


def run(flow: Callable[[Chat], Coroutine[Any, Any, Any]], answers: Answers, fresh: str = "") -> tuple[Chat, Any]:
    """One turn of a flow over these answers."""
    chat = Chat("toy", answers, now=NOW, started_at=NOW, fresh=fresh)
    return chat, drive(flow, chat)


async def two(chat: Chat) -> tuple[str, str]:
    """Two questions with a word before each."""
    chat.say("hello")
    first = await chat.ask("first", text())
    chat.say("between")
    return first, await chat.ask("second", text())


def said(chat: Chat) -> list[str]:
    """The names of what was said."""
    return [one.text for one in chat.said]


def test_the_first_missing_answer_is_asked() -> None:
    """What was said before a known answer was said in an earlier turn, and is not said again."""
    chat, _ = run(two, {})
    assert said(chat) == ["toy.hello", "toy.first"]
    chat, _ = run(two, {"first": {"text": "one"}})
    assert said(chat) == ["toy.between", "toy.second"]
    assert chat.waiting is not None and chat.waiting.name == "second"
    chat, result = run(two, {"first": {"text": "one"}, "second": {"text": "two"}})
    assert (result, said(chat), chat.waiting) == (("one", "two"), [], None)


def test_answers_are_found_by_name_in_any_order() -> None:
    """The order in which answers were given does not matter, nor do answers to questions that no longer exist."""
    _, result = run(two, {"old": {"text": "gone"}, "second": {"text": "two"}, "first": {"text": "one"}})
    assert result == ("one", "two")


def test_asking_twice_under_one_name_is_a_fault() -> None:
    """A flow that would take one answer for two questions fails at once."""

    async def flow(chat: Chat) -> None:
        await chat.ask("same", text())
        await chat.ask("same", text())

    with pytest.raises(AssertionError, match="twice"):
        run(flow, {"same": {"text": "x"}})


def test_a_pause_is_not_swallowed() -> None:
    """No `except Exception` in a flow keeps it from waiting."""

    async def flow(chat: Chat) -> str:
        try:
            return await chat.ask("first", text())
        except Exception:  # noqa: BLE001 - what a careless flow might do
            return "swallowed"

    chat, result = run(flow, {})
    assert result is None and chat.waiting is not None
    assert not issubclass(Pause, Exception)


def test_a_flow_may_not_wait_for_anything_but_a_question() -> None:
    """A flow that awaits the network or a clock fails in its first test."""

    async def flow(chat: Chat) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="other than a question"):
        run(flow, {})


def test_an_answer_given_now_that_cannot_be_taken_is_explained() -> None:
    """The reason stands before the question, which waits again; the bad answer is gone."""
    answers: Answers = {"first": {"text": "   "}}
    chat, _ = run(two, answers, fresh="first")
    assert said(chat) == ["errors.words_please", "toy.first"]
    assert (answers, chat.rejected) == ({}, "first")


def test_an_old_answer_that_a_deploy_made_unfit_is_asked_again_without_blame() -> None:
    """Who did nothing wrong hears no reproach."""

    async def flow(chat: Chat) -> str:
        await chat.ask("first", choice("left", "right"))
        return await chat.ask("second", text())

    chat, _ = run(flow, {"first": {"choice": "middle"}, "second": {"text": "now"}}, fresh="second")
    assert said(chat) == ["toy.first"]


def test_news_about_an_old_answer_is_said() -> None:
    """A session that ended in between is said, even though the code was given in an earlier turn."""

    def over(answer: Answer) -> str:
        raise Rejected("follow_up.session_over")

    async def flow(chat: Chat) -> None:
        await chat.ask("code", text().__class__(over))

    chat, _ = run(flow, {"code": {"receipt": "abc"}}, fresh="next")
    assert said(chat) == ["follow_up.session_over", "toy.code"]


def test_a_yes_belongs_to_what_was_shown() -> None:
    """When the summary differs, it is asked again; when it is the same, the yes holds."""

    def flow(what: str) -> Callable[[Chat], Coroutine[Any, Any, str]]:
        async def confirmed(chat: Chat) -> str:
            return await chat.confirm("send", yes_no(), what=what, photos=["a", "b"])

        return confirmed

    chat, _ = run(flow("one"), {})
    assert chat.waiting is not None
    yes = {"send": {"choice": YES.value, "shown": chat.waiting.shown}}
    assert run(flow("one"), dict(yes))[1] == "yes"
    asked_again, result = run(flow("two"), dict(yes))
    assert result is None and said(asked_again) == ["toy.send"]


def test_counts_are_made_once() -> None:
    """What was counted before a known answer was counted in the turn that asked."""

    async def flow(chat: Chat) -> None:
        chat.count("seen")
        await chat.ask("first", text())

    assert run(flow, {})[0].counted == ["seen"]
    assert run(flow, {"first": {"text": "x"}})[0].counted == []


@pytest.mark.parametrize("stored", [{}, {"text": None}, {"photos": []}, {"strange": 1}, {"choice": 5}])
def test_an_answer_of_an_unknown_form_is_asked_again(stored: dict[str, Any]) -> None:
    """Whatever an older version stored, no turn fails over it."""
    chat, result = run(two, {"first": stored}) if stored.get("text", "") is not None else run(two, {"first": {"text": ""}})
    assert result is None
    assert chat.waiting is not None and chat.waiting.name == "first"
