"""The entries: complete, consistent, and honest about what is wrong with a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faq.check import check, entry_problems, model_problems, phrasing_problems, redirect_problems
from faq.entries import REPORT, BadEntry, Condition, load_entries, load_phrasings, load_redirects

ENTRIES = load_entries()


def test_nothing_is_wrong_with_what_the_bot_knows() -> None:
    """`netra faq check` has nothing to say."""
    assert check() == []


def test_all_entries_are_there() -> None:
    """There are 193 entries, each under its own name."""
    assert len(ENTRIES) == 193
    assert all(name == entry.id for name, entry in ENTRIES.items())


def test_loading_is_repeatable_and_in_order() -> None:
    """Entries come in the order of their names."""
    assert list(ENTRIES) == sorted(ENTRIES)
    assert load_entries() == ENTRIES


def test_phrasings_say_whose_they_are() -> None:
    """Every phrasing has a register, a known name and a text."""
    known = {*ENTRIES, *load_redirects(), REPORT}
    for register, name, phrasing in load_phrasings():
        assert register and phrasing and name in known


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"title": " "}, "title is empty"),
        ({"short": "x" * 401}, "short has 401 characters, at most 400 are allowed"),
        ({"verdict": "mungkin"}, "'mungkin' is not a verdict"),
        ({"sources": ()}, "there is no source"),
        ({"basis": ()}, "there is no legal basis"),
        ({"related": ("tidak.ada", "sosmed.ajak-memilih")}, "related to 'tidak.ada', which is no other entry"),
        ({"confidence": "low", "uncertain": ""}, "confidence is not high, but nothing is said to be uncertain"),
    ],
)
def test_a_broken_entry_is_named(broken: dict[str, object], problem: str) -> None:
    """Each promise of an entry is checked."""
    entry = replace(ENTRIES["sosmed.like-postingan"], **broken)  # type: ignore[arg-type]
    assert problem in list(entry_problems(entry, ENTRIES))


def test_every_condition_leads_somewhere() -> None:
    """A last condition that leads on, and an outcome that does not exist, are both named."""
    entry = next(entry for entry in ENTRIES.values() if entry.conditions)
    lost = replace(entry, conditions=(Condition("Apakah?", "Is it?", "next", "entah"),))
    problems = list(entry_problems(lost, ENTRIES))
    assert "the last condition leads to no outcome" in problems
    assert "condition 1 leads to 'entah', which is no outcome" in problems


def test_only_bersyarat_has_conditions() -> None:
    """A definite verdict asks nothing."""
    entry = next(entry for entry in ENTRIES.values() if entry.conditions)
    assert "a verdict of dilarang has no conditions" in list(entry_problems(replace(entry, verdict="dilarang"), ENTRIES))


def test_a_redirect_is_short() -> None:
    """Nobody reads a long redirect."""
    redirect = next(iter(load_redirects().values()))
    assert list(redirect_problems(replace(redirect, reply="x" * 301))) == ["reply has more than 300 characters"]


def test_phrasings_of_nobody_and_too_few_phrasings_are_named() -> None:
    """A misspelt name does not go unnoticed."""
    problems = phrasing_problems(iter([("slang", "sosmed.lik", "boleh ngelike?")]), ENTRIES, {})
    assert "slang.tsv: 'sosmed.lik' is no entry: boleh ngelike?" in problems
    assert "sosmed.like-postingan: 0 phrasings, at least 30 are needed" in problems


def test_the_weights_are_up_to_date() -> None:
    """The weights shipped were built from what is shipped."""
    assert list(model_problems()) == []


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """An entry without a key says which file and which entry it is."""
    (tmp_path / "x.toml").write_text('["a.b"]\ntitle = "A"\n', encoding="utf-8")
    with pytest.raises(BadEntry, match=r"x\.toml: a\.b"):
        load_entries(tmp_path)
    (tmp_path / "x.toml").write_text("not toml", encoding="utf-8")
    with pytest.raises(BadEntry, match=r"x\.toml"):
        load_entries(tmp_path)
