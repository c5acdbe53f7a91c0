"""The transcript in the docs is true: a stop word in the middle of a running broadcast counts at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broadcast.transcript import MANY, run

pytestmark = pytest.mark.anyio


async def test_a_stop_word_in_the_middle_counts_at_once(tmp_path: Path) -> None:
    """Who says stop before being reached gets nothing, who stops after it gets nothing more, everybody else gets it once."""
    told: list[str] = []
    results, fake, by_word, by_button = await run(tmp_path, told.append)
    reached = [int(call["chat_id"]) for call in fake.called("sendMessage") if "Besok masa tenang" in str(call["text"])]
    assert by_word not in reached
    assert reached.count(by_button) == 1
    assert sorted(reached) == sorted(set(reached))
    assert results.total("sent") == len(reached) == MANY - 1
    assert fake.refusals == []
    assert any("BERHENTI" in line for line in told)
