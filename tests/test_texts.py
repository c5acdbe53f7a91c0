"""Every sentence: in both languages, with the same facts, within the limits, and none that the code asks for is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot
import handlers
from bot.messages import Option, Span
from bot.texts import FOLDER, LANGUAGES, MARK, Missing, Template, Texts, flat
from bot.turn import COMMANDS
from faq.match import Faq
from tests.known_faq import KnownFaq
from tests.talk import Machine

TEXTS = Texts.load()
LABEL, DETAIL = 24, 72
"""A row of a WhatsApp list: the tightest place in which a choice is shown."""


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


def source(*files: Path) -> str:
    """The code of these files."""
    return "\n".join(path.read_text("utf-8") for path in files)


def test_both_languages_have_the_same_texts() -> None:
    """No key in one that the other lacks, and in the same order."""
    assert set(LANGUAGES) == {path.stem for path in FOLDER.glob("*.toml")}
    keys = [list(flat(tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")))) for language in LANGUAGES]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("name", sorted(TEXTS.names("id")))
def test_a_text_is_sound_in_both_languages(name: str) -> None:
    """The same facts; no fact with a person's words inside a mark; no stray mark; labels that fit."""
    templates = [TEXTS.template(language, name) for language in LANGUAGES]
    assert templates[0].facts == templates[1].facts
    for template in templates:
        assert template.source.strip()
        assert not re.search(r"  |\t", template.source.replace("\n", " ").strip()) or "\n\n" in template.source
        for line in template.lines:
            for _, fact, style in line.runs:
                assert not style or not (fact or "").startswith("their_")
        if ".options." in f".{name}":
            label, _, detail = template.source.partition(" | ")
            assert 0 < len(label) <= LABEL and len(detail) <= DETAIL
            assert not MARK.search(template.source), "labels are plain"


def test_texts_of_a_language_are_not_the_others() -> None:
    """Sentences are translated: hardly any long text is the same in both."""
    same = [name for name in TEXTS.names("id") if TEXTS.template("id", name).source == TEXTS.template("en", name).source]
    assert [name for name in same if len(TEXTS.template("id", name).source) > 40 and not TEXTS.template("id", name).facts] == []


def test_commands_that_texts_name_are_understood(machine: Machine) -> None:
    """A word in capitals that a text tells people to type does something, in either language."""
    understood = {word for words in COMMANDS.values() for word in words} | set(machine.conductor().words)
    for language in LANGUAGES:
        for name in TEXTS.names(language):
            for told in re.findall(r"(?:[Kk]etik|[Tt]ype|[Bb]alas|[Rr]eply) \*?([A-Z]{3,})\b", TEXTS.template(language, name).source):
                assert told.lower() in understood, f"{language}: {name}: {told}"


SAYS = re.compile(r'(?:Rejected|Said|turn\.say|turn\.say_secret|self\.before\.append\(Said)\(\s*"([a-z_.]+)"')
FLOW_SAYS = re.compile(r'(?:chat\.say|chat\.ask|chat\.confirm|collect)\(\s*(?:chat, )?"(\.?[a-z_.]+)"')
FLOWS = {
    "menu": ("menu",),
    "tip": ("tip",),
    "self_check": ("self_check",),
    "follow_up": ("follow_up", "saved_code", "quiet"),
    "privacy": ("privacy", "language", "erase"),
}


def test_every_name_in_the_code_is_a_text() -> None:
    """What turns, readers and keepers say by its full name."""
    files = [*Path(bot.__file__).parent.glob("*.py"), *Path(handlers.__file__).parent.glob("*.py")]
    found = set(SAYS.findall(source(*files)))
    assert len(found) > 20
    assert sorted(name for name in found if not TEXTS.has(name) and not name.endswith((".", "_"))) == []


@pytest.mark.parametrize("file", FLOWS)
def test_every_question_of_a_flow_has_a_text(file: str) -> None:
    """Under the question's name, or under the name that the flow gives it."""
    code = (Path(handlers.__file__).parent / f"{file}.py").read_text("utf-8")
    for name in FLOW_SAYS.findall(code):
        if name.startswith("."):
            assert TEXTS.has(name[1:]), name
        else:
            base = name.split(".")[0]
            named = re.search(rf'"{re.escape(name)}".*?text=f?"([a-z_]+)', code, re.DOTALL)
            assert any(TEXTS.has(f"{flow}.{known}") for flow in FLOWS[file] for known in (base, named[1] if named else base)), name


def test_every_refusal_of_a_file_has_a_text() -> None:
    """Whatever reason a channel or the decoder gives, there is a sentence for it."""
    home = Path(bot.__file__).parents[1]
    code = source(*(home / "bot").rglob("*.py"), home / "storage" / "evidence.py", home / "storage" / "decoder.py")
    reasons = set(re.findall(r'(?:Refused|FetchError)\("([a-z]+)"\)', code)) | set(re.findall(r'refused="([a-z]+)"', code))
    assert len(reasons) > 5
    assert sorted(reason for reason in reasons if not TEXTS.has(f"errors.file_{reason}")) == []


def test_an_option_without_a_text_is_a_fault() -> None:
    """Found by the first test that comes to it."""
    with pytest.raises(Missing):
        TEXTS.option("id", "tip", "kind", Option("no such"))
    with pytest.raises(Missing):
        TEXTS.plain("id", "no.such")


def test_facts_are_never_read_as_marks() -> None:
    """What people write comes out as they wrote it, in no style."""
    spans = Template("*Kejadian*: {their_what} _akhir_").fill({"their_what": "*a* _b_ `c` {d} {their_what}"})
    assert spans == [Span("Kejadian", "bold"), Span(": *a* _b_ `c` {d} {their_what} "), Span("akhir", "italic")]


@given(st.text(max_size=100))
def test_any_fact_stands_as_it_is(words: str) -> None:
    """Between what stands around it."""
    assert "".join(span.text for span in Template("vor {their_x} nach").fill({"their_x": words})) in (f"vor {words} nach", "")


def test_a_line_without_its_facts_is_left_out() -> None:
    """But a zero is a fact."""
    template = Template("Satu: {one}\nDua: {two}\n\nTiga {one} {two}")
    assert "".join(span.text for span in template.fill({"one": "", "two": 0})) == "Dua: 0\n\nTiga  0"
    assert "".join(span.text for span in template.fill({"one": "", "two": None})) == ""


def test_a_fact_that_is_not_given_is_a_fault() -> None:
    """Not an empty place in a sentence."""
    with pytest.raises(KeyError):
        Template("{one}").fill({})


def test_lists_become_lines() -> None:
    """One for each item."""
    assert Template("{basis}").fill({"basis": ["a", "b"]}) == [Span("- a\n- b")]


def test_what_every_edit_button_names_is_an_answer(machine: Machine) -> None:
    """Each "change" of the summary has its label in both languages."""
    for name in ("indicator", "where", "when", "what", "who", "photos", "more"):
        for language in LANGUAGES:
            assert machine.texts.option(language, "tip", "send", Option(f"edit:{name}")).label
