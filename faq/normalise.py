"""Questions as people type them, brought to the words the entries use: case, repeats, slang, local words, frames, concepts.

Nothing here decides anything. A question becomes three readings: `plain`, every word in standard spelling; `roots`, the same with everyday
words turned into the word of the domain and affixes off; `content`, what is left of those when question frames and pleasantries are off.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

LEXICON: Final = Path(__file__).parent / "lexicon"

AT_MOST: Final = 1200
"""Characters of a question that are read; nobody needs more to name an act."""

NEGATORS: Final = frozenset({"tidak", "bukan", "belum", "jangan", "tanpa"})
NEGATION: Final = "!"
"""What marks a word that a negation stands before: "tidak memilih" is read as "!pilih"."""

_SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("\N{THUMBS UP SIGN}", " jempol "),
        **dict.fromkeys("\N{HEAVY BLACK HEART}\N{BLACK HEART SUIT}\N{SMILING FACE WITH HEART-SHAPED EYES}", " hati "),
        **dict.fromkeys("\N{VICTORY HAND}", " dua jari "),
        **dict.fromkeys("\N{WHITE UP POINTING INDEX}", " satu jari "),
        **dict.fromkeys("\N{FLEXED BICEPS}\N{FIRE}", " semangat "),
        **dict.fromkeys("\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}", "'"),
        **dict.fromkeys("\N{EN DASH}\N{EM DASH}", "-"),
        **dict.fromkeys("\N{ZERO WIDTH SPACE}\N{SOFT HYPHEN}", ""),
    }
)

_REPEATED = re.compile(r"([a-z])\1{2,}")
_JOINED = re.compile(r"\b(nge|ng|di|ke|me|mem|men|meng|ter|ber|pe|se)-(?=[a-z])")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?\d*|\d+")
_DOUBLED = re.compile(r"^([a-z]{3,})2(nya|an|in|kan)?$")
_MARKED_NUMBER = re.compile(r"^([a-z]{2,})(\d{1,2})$")

# Affixes, the longest first. A root is taken only when the entries know it.
_BEFORE: Final = (
    "memper", "diper", "keber", "menge", "penge", "meng", "peng", "meny", "peny", "mem", "pem", "men", "pen", "nge", "ber", "ter", "per",
    "bel", "ng", "ny", "me", "pe", "di", "ke", "se", "be", "te", "n", "m",
)  # fmt: skip
_BEHIND: Final = (
    "kannya",
    "innya",
    "annya",
    "kanlah",
    "inya",
    "nya",
    "kan",
    "ken",
    "ake",
    "lah",
    "kah",
    "pun",
    "ku",
    "mu",
    "in",
    "an",
    "en",
    "ne",
    "i",
    "e",
    "keun",
)
_BEFORE_BY_LETTER: Final = {letter: [prefix for prefix in _BEFORE if prefix[0] == letter] for letter in {prefix[0] for prefix in _BEFORE}}
_BEHIND_BY_LETTER: Final = {letter: [suffix for suffix in _BEHIND if suffix[-1] == letter] for letter in {suffix[-1] for suffix in _BEHIND}}

SHORTEST_ROOT: Final = 3
"""No root is shorter."""

_LOST: Final[Mapping[str, str]] = {
    **dict.fromkeys(("meny", "peny"), "s"),
    **dict.fromkeys(("mem", "pem"), "pf"),
    **dict.fromkeys(("men", "pen", "n"), "t"),
    **dict.fromkeys(("meng", "peng", "ng"), "k"),
    "ny": "sc",
    "m": "p",
}
"""Letters that a prefix may have swallowed: menyebar is sebar."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A question, read: every word in standard spelling, their roots and concepts, and those that carry its content."""

    plain: tuple[str, ...]
    roots: tuple[str, ...]
    content: tuple[str, ...]


class Lexicon:
    """The word lists: slang, concepts, question frames, words without content, words that make a "boleh" dangerous."""

    def __init__(
        self,
        slang: Mapping[str, tuple[str, ...]],
        concepts: Mapping[tuple[str, ...], str],
        frames: Iterable[tuple[str, ...]],
        stopwords: Collection[str],
        risk: Collection[str],
    ) -> None:
        self.slang = slang
        self.stopwords = frozenset(stopwords) - NEGATORS
        self.risk = frozenset(risk)
        self._concepts = _by_first((phrase, (concept,)) for phrase, concept in concepts.items())
        self._frames = _by_first((frame, ()) for frame in frames)
        self._known: frozenset[str] = frozenset()
        self._root = lru_cache(maxsize=20_000)(self._find_root)

    @classmethod
    def load(cls, folder: Path = LEXICON) -> Lexicon:
        """Read the word lists; a list that is not there is empty."""
        slang = {row[0]: tuple(row[1].split()) for row in _rows(folder / "slang.tsv", 2)}
        concepts = {tuple(row[0].split()): row[1] for row in _rows(folder / "concepts.tsv", 2)}
        frames = [tuple(row[0].split()) for row in _rows(folder / "frames.tsv", 1)]
        return cls(
            slang,
            concepts,
            frames,
            {row[0] for row in _rows(folder / "stopwords.tsv", 1)},
            {word for row in _rows(folder / "risk.tsv", 1) for word in row[0].split()},
        )

    def learn(self, roots: Iterable[str]) -> None:
        """Take the words that the entries use; only to these are other words brought back."""
        self._known = frozenset(roots)
        self._root.cache_clear()

    def words(self, text: str) -> list[str]:
        """The words of a text in standard spelling."""
        found: list[str] = []
        for word in _WORD.findall(clean(text)):
            for standard in self._standard(word):
                if not found or found[-1] != standard:
                    found.append(standard)
        return found

    def read(self, text: str) -> Reading:
        """Read a question."""
        plain = self.words(text)
        root = self._root
        roots = [root(word) for word in _replace(plain, self._concepts)]
        return Reading(tuple(plain), tuple(roots), tuple(self.content(roots)))

    def content(self, roots: list[str]) -> list[str]:
        """What is left of a question without its frame, each negation bound to the word behind it."""
        found: list[str] = []
        negated = False
        for word in _replace(roots, self._frames):
            if word in NEGATORS:
                negated = True
            elif word not in self.stopwords:
                found.append(NEGATION + word if negated else word)
                negated = False
        return found

    def root(self, word: str) -> str:
        """The root of a word, when the entries know it."""
        return self._root(word)

    def _standard(self, word: str) -> tuple[str, ...]:
        if (known := self.slang.get(word)) is not None:
            return known
        if word.isalpha() or word.isdecimal():
            return (word.lstrip("0") or "0",) if word.isdecimal() else (word,)
        if match := _DOUBLED.match(word):
            single = match[1]
            return self.slang.get(single) or (single + (match[2] or ""),)
        if match := _MARKED_NUMBER.match(word):
            return (*(self.slang.get(match[1]) or (match[1],)), match[2].lstrip("0") or "0")
        bare = word.replace("'", "")
        return self.slang.get(bare) or (bare,)

    def _find_root(self, word: str) -> str:
        if word in self._known or len(word) < 5:
            return word
        for candidate in _roots(word):
            if candidate in self._known:
                return candidate
        return word


def clean(text: str) -> str:
    """Small letters without accents, signs or drawn-out vowels; anything in another script is dropped by what follows."""
    text = text[:AT_MOST].translate(_SIGNS)
    if not text.isascii():
        text = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    text = _REPEATED.sub(r"\1", text.lower())
    return _JOINED.sub(r"\1", text)


def _roots(word: str) -> Iterator[str]:
    """What a word may be without its affixes, the shortest cut first."""
    stems = [word]
    for prefix in _BEFORE_BY_LETTER.get(word[0], ()):
        if word.startswith(prefix) and len(word) - len(prefix) >= SHORTEST_ROOT:
            stems.append(word[len(prefix) :])
            stems.extend(letter + word[len(prefix) :] for letter in _LOST.get(prefix, ""))
    yield from stems[1:]
    endings = [len(suffix) for suffix in _BEHIND_BY_LETTER.get(word[-1], ()) if word.endswith(suffix)]
    for stem in stems:
        for size in endings:
            if len(stem) - size >= SHORTEST_ROOT:
                yield stem[:-size]


_Phrases = Mapping[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]


def _by_first(pairs: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> _Phrases:
    """Phrases by their first word, the longest first."""
    table: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for phrase, becomes in pairs:
        if phrase:
            table.setdefault(phrase[0], []).append((phrase, becomes))
    for rows in table.values():
        rows.sort(key=lambda row: (-len(row[0]), row[0]))
    return table


def _replace(words: list[str], table: _Phrases) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(words):
        for phrase, becomes in table.get(words[place], ()):
            size = len(phrase)
            if size == 1 or tuple(words[place : place + size]) == phrase:
                found.extend(becomes)
                place += size
                break
        else:
            found.append(words[place])
            place += 1
    return found


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        row = [cell.strip() for cell in line.split("\t")]
        if len(row) >= columns and all(row[:columns]) and not line.startswith("#"):
            yield row
