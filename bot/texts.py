"""Every sentence by its name, in Indonesian first and English second. No sentence stands in code.

A text is plain words with three marks: ``*bold*``, ``_italic_`` and `` `code` ``, and with ``{facts}``. A line all of whose facts are
empty is left out. Facts are put in as they are, never read as marks; those that hold a person's words are named ``their_...``
and may not stand inside a mark.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True)
class Template:
    """One sentence, read once."""

    source: str

    @cached_property
    def lines(self) -> tuple[tuple[tuple[str, Style], ...], ...]:
        """The runs of each line with their styles."""
        return tuple(tuple(_runs(line)) for line in self.source.strip("\n").split("\n"))

    @property
    def facts(self) -> set[str]:
        """The names of the facts that go in."""
        return set(FACT.findall(self.source))

    def fill(self, facts: Mapping[str, Any]) -> list[Span]:
        """The spans with their facts; raises `KeyError` for a fact that is not given."""
        spans: list[Span] = []
        first = True
        for line in self.lines:
            wanted = [name for run, _ in line for name in FACT.findall(run)]
            if wanted and all(facts[name] in ("", None, [], ()) for name in wanted):
                continue
            if not first:
                spans.append(Span("\n"))
            first = False
            for run, style in line:
                spans.extend(_filled(run, style, facts))
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


def _filled(run: str, style: Style, facts: Mapping[str, Any]) -> Iterable[Span]:
    for literal, name, _, _ in string.Formatter().parse(run):
        if literal:
            yield Span(literal, style)
        if name is not None:
            value = facts[name]
            if isinstance(value, (list, tuple)):
                value = "\n".join(f"- {item}" for item in value)
            yield Span("" if value is None else str(value), style)


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

    def spans(self, language: str, name: str, facts: Mapping[str, Any] | None = None) -> list[Span]:
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
                label, _, detail = self.plain(language, name).partition(" | ")
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
