"""Reading what people type."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faq.normalise import AT_MOST, Lexicon, clean

LEXICON = Lexicon(
    slang={"ga": ("tidak",), "sy": ("saya",), "cabup": ("calon", "bupati"), "like": ("like",), "ngelike": ("like",), "no": ("nomor",)},
    concepts={("pencet", "jempol"): "like", ("kalender",): "kalender"},
    frames=[("boleh", "tidak"), ("kena", "sanksi", "tidak")],
    stopwords={"saya", "di", "tidak"},
    risk={"calon"},
)
LEXICON.learn(["sebar", "foto", "kampanye", "pilih", "tempel"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Sy ga LIKE!!!", "saya tidak like"),
        ("bangeeeet", "banget"),
        ("teman2 kantor", "teman kantor"),
        ("teman teman", "teman"),
        ("nge-like postingan cabup", "like postingan calon bupati"),
        ("no2 atau 02", "nomor 2 atau 2"),
        ("caf\u00e9", "cafe"),
        ("\U0001f44d", "jempol"),
        ("Jum'at", "jumat"),
        ("\u4e2d\u6587 \x00\x07", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    """Case, repeats, doubled words, signs, slang."""
    assert LEXICON.words(text) == words.split()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("saya pencet jempol di foto boleh ga", "like foto"),
        ("menyebarkan kampanye", "sebar kampanye"),
        ("difotoin", "foto"),
        ("ga pilih", "!pilih"),
        ("kampanye, kena sanksi ga", "kampanye"),
        ("nempel", "tempel"),
        ("tidak dikenal", "!dikenal"),
    ],
)
def test_content(text: str, content: str) -> None:
    """Frames and stop words off, concepts and roots found, negation bound to what it negates."""
    assert list(LEXICON.read(text).content) == content.split()


def test_a_negator_is_never_a_stop_word() -> None:
    """Whatever the list says."""
    assert "tidak" not in LEXICON.stopwords


@settings(deadline=None)
@given(st.text(max_size=400))
def test_reading_never_fails_and_reads_its_own_words_alike(text: str) -> None:
    """Standard words stay as they are."""
    lexicon = Lexicon.load()
    words = lexicon.read(text).plain
    assert all(word.isascii() and word == word.lower() for word in words)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=5000))
def test_only_so_much_is_read(text: str) -> None:
    """A very long message costs no more than a long one."""
    assert len(clean(text)) <= 40 * AT_MOST
    assert LEXICON.read(text + "x" * AT_MOST) is not None
