"""Every sentence by its name, in Indonesian first and English second. No sentence stands in code.

A text is plain words with three marks: ``*bold*``, ``_italic_`` and `` `code` ``, and with ``{facts}``. A line all of whose facts are
empty is left out. Facts are put in as they are, never read as marks; those that hold a person's words are named ``their_...``
and may not stand inside a mark.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bot.messages import Option, Span, Style

FOLDER = Path(__file__).with_name("texts")
LANGUAGES = ("id", "en")
MARK = re.compile(
    r"(?<![\w*])\*(?=\S)(?P<bold>[^*\n]+?)(?<=\S)\*(?![\w*])|(?<!\w)_(?=\S)(?P<italic>[^_\n]+?)(?<=\S)_(?!\w)|`(?P<code>[^`\n]+)`"
)
FACT = re.compile(r"\{(\w+)\}")


class Missing(KeyError):
    """A text that no language has: a fault in the program, found by the tests."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text: the facts that it wants, and its runs (words, the fact that follows them, their style)."""

    facts: tuple[str, ...]
    runs: tuple[tuple[str, str | None, Style], ...]


@dataclass(frozen=True)
class Template:
    """One sentence, read once."""

    source: str

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines with their runs, and with the facts that they want."""
        return tuple(
            Line(
                tuple(dict.fromkeys(FACT.findall(line))),
                tuple((literal, name, style) for run, style in _runs(line) for literal, name, _, _ in string.Formatter().parse(run)),
            )
            for line in self.source.strip("\n").split("\n")
        )

    @cached_property
    def facts(self) -> set[str]:
        """The names of the facts that go in."""
        return set(FACT.findall(self.source))

    @cached_property
    def still(self) -> tuple[Span, ...]:
        """The spans of a text without facts."""
        return tuple(self._filled({}))

    @cached_property
    def label(self) -> tuple[str, str]:
        """The label of a choice, and its detail."""
        label, _, detail = "".join(span.text for span in self.still).partition(" | ")
        return label, detail

    def fill(self, facts: Mapping[str, Any]) -> Sequence[Span]:
        """The spans with their facts; raises `KeyError` for a fact that is not given."""
        return self._filled(facts) if self.facts else self.still

    def _filled(self, facts: Mapping[str, Any]) -> list[Span]:
        spans: list[Span] = []
        first = True
        for line in self.lines:
            if line.facts and all(facts[name] in ("", None, [], ()) for name in line.facts):
                continue
            if not first:
                spans.append(Span("\n"))
            first = False
            for literal, name, style in line.runs:
                if literal:
                    spans.append(Span(literal, style))
                if name is not None:
                    spans.append(Span(_words(facts[name]), style))
        return joined(spans)


def _runs(line: str) -> Iterable[tuple[str, Style]]:
    at = 0
    for match in MARK.finditer(line):
        if match.start() > at:
            yield line[at : match.start()], ""
        style: Style = "bold" if match["bold"] else "italic" if match["italic"] else "code"
        yield match[style], style
        at = match.end()
    if at < len(line):
        yield line[at:], ""


def _words(value: Any) -> str:
    """A fact as it is put in: a list as lines of its own."""
    if isinstance(value, (list, tuple)):
        return "\n".join(f"- {item}" for item in value)
    return "" if value is None else str(value)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The spans with neighbours of one style made one, and empty ones dropped."""
    found: list[Span] = []
    for span in spans:
        if not span.text:
            continue
        if found and found[-1].style == span.style:
            found[-1] = Span(found[-1].text + span.text, span.style)
        else:
            found.append(span)
    return found


class Texts:
    """The catalogue: a text by language and name."""

    def __init__(self, catalogues: Mapping[str, Mapping[str, str]]) -> None:
        self._templates = {language: {name: Template(text) for name, text in texts.items()} for language, texts in catalogues.items()}
        self._options: dict[tuple[str, str], list[str]] | None = None

    @classmethod
    def load(cls, folder: Path = FOLDER) -> Texts:
        """All languages of a folder of TOML files."""
        return cls({path.stem: flat(tomllib.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.toml"))})

    def names(self, language: str) -> set[str]:
        """The names that a language has."""
        return set(self._templates[language])

    def template(self, language: str, name: str) -> Template:
        """The template in this language, else in Indonesian; raises `Missing`."""
        for catalogue in (self._templates.get(language, {}), self._templates["id"]):
            if name in catalogue:
                return catalogue[name]
        raise Missing(name)

    def has(self, name: str) -> bool:
        """Whether the catalogue knows the name."""
        return name in self._templates["id"]

    def spans(self, language: str, name: str, facts: Mapping[str, Any] | None = None) -> Sequence[Span]:
        """The text with its facts."""
        return self.template(language, name).fill(facts or {})

    def plain(self, language: str, name: str, facts: Mapping[str, Any] | None = None) -> str:
        """The same without style."""
        return "".join(span.text for span in self.spans(language, name, facts))

    def options(self, flow: str | None, value: str) -> list[str]:
        """The names under which a flow's questions have this choice."""
        if self._options is None:  # asked in every turn, and a walk through the whole catalogue
            self._options = {}
            for name in self._templates["id"]:
                of, found, rest = name.partition(".options.")
                if found:
                    self._options.setdefault((of, rest.partition(".")[2]), []).append(name)
        return self._options.get((flow or "", value), [])

    def option(self, language: str, flow: str, question: str, option: Option) -> Option:
        """The option with label and detail: its own, the question's, or the whole bot's."""
        if option.label:
            return option
        base = question.split(".")[0]
        for name in (f"{flow}.options.{base}.{option.value}", f"options.{option.value}"):
            if self.has(name):
                label, detail = self.template(language, name).label
                return Option(option.value, label, detail, option.keywords)
        raise Missing(f"{flow}.options.{base}.{option.value}")


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted names."""
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found
