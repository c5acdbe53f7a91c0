"""How a message is fitted into what each platform can show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.channels.limits import LIMITS, SendError, lay_out, length, shortened, split
from bot.messages import Button, Outbound, Span

STYLES = st.sampled_from(["", "bold", "italic", "code"])
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
SPANS = st.lists(st.builds(Span, WORDS, STYLES), min_size=1, max_size=12)
LABELS = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cf", "Cn")), min_size=1, max_size=130), min_size=1, max_size=12
)


def written(spans: tuple[Span, ...] | list[Span]) -> str:
    """The words."""
    return "".join(span.text for span in spans)


def visible(words: str) -> str:
    """The words without any gap."""
    return "".join(words.split())


@given(SPANS, st.integers(10, 400), st.sampled_from(["utf16", "characters"]))
def test_splitting_loses_nothing_but_gaps(spans: list[Span], at_most: int, unit: str) -> None:
    """Every part fits, every visible sign is there in order, and keeps its style."""
    parts = split(spans, at_most, unit)
    assert all(length(written(part), unit) <= at_most for part in parts)
    assert visible("".join(written(part) for part in parts)) == visible(written(spans))
    styled = [(sign, span.style) for span in spans for sign in visible(span.text)]
    assert [(sign, span.style) for part in parts for span in part for sign in visible(span.text)] == styled


@given(SPANS, LABELS, st.sampled_from(sorted(LIMITS)))
def test_every_message_fits_every_platform(spans: list[Span], labels: list[str], platform: str) -> None:
    """Texts, labels, and all choices, as buttons, as a list or as numbered lines; no two labels look the same."""
    limits = LIMITS[platform]
    buttons = tuple(Button(f"t.1.{number}", label, label[:50]) for number, label in enumerate(labels))
    laid = lay_out(Outbound((*spans, Span("x")), buttons, "choice"), limits)
    assert all(length(written(text), limits.unit) <= limits.text for text in laid.texts)
    assert [button.token for button in laid.buttons] == [button.token for button in buttons]
    if laid.shown_as in ("buttons", "list"):
        assert length(written(laid.texts[-1]), limits.unit) <= limits.interactive_text
        most = limits.button_label if laid.shown_as == "buttons" else limits.list_label
        assert all(0 < len(button.label) <= most for button in laid.buttons)
        assert len({button.label for button in laid.buttons}) == len(buttons)
    whole = visible("".join(written(text) for text in laid.texts))
    if limits.numbers_shown or laid.shown_as == "numbers":
        for number, label in enumerate(labels, start=1):
            assert visible(f"{number}. {label}") in whole


@pytest.mark.parametrize(
    ("platform", "count", "shown"),
    [
        ("whatsapp", 0, "none"),
        ("whatsapp", 3, "buttons"),
        ("whatsapp", 4, "list"),
        ("whatsapp", 10, "list"),
        ("whatsapp", 11, "numbers"),
        ("telegram", 11, "buttons"),
        ("console", 2, "numbers"),
    ],
)
def test_how_choices_are_shown(platform: str, count: int, shown: str) -> None:
    """As the platform's own limits allow."""
    buttons = tuple(Button(str(number), f"Pilihan {number}") for number in range(count))
    assert lay_out(Outbound((Span("Yang mana?"),), buttons), LIMITS[platform]).shown_as == shown


def test_long_and_equal_labels_carry_their_number() -> None:
    """And stand in full, with what tells them apart, in the text."""
    buttons = (Button("1", "Sukadana", "Lampung Timur"), Button("2", "Sukadana", "Ciamis"))
    laid = lay_out(Outbound((Span("Yang mana?"),), buttons), LIMITS["telegram"])
    assert [button.label for button in laid.buttons] == ["1. Sukadana", "2. Sukadana"]
    assert "2. Sukadana (Ciamis)" in written(laid.texts[0])
    long = (Button("1", "Menjadi admin akun pemenangan calon bupati di kabupaten"), Button("2", "Ya"))
    laid = lay_out(Outbound((Span("Yang mana?"),), long), LIMITS["telegram"])
    assert [button.label for button in laid.buttons] == ["1. Menjadi admin akun pemenangan calon…", "2. Ya"]
    assert long[0].label in written(laid.texts[0])


def test_short_labels_stay_as_they_are() -> None:
    """No number where none is needed."""
    laid = lay_out(Outbound((Span("Yakin?"),), (Button("1", "Ya"), Button("2", "Tidak"))), LIMITS["telegram"])
    assert [button.label for button in laid.buttons] == ["Ya", "Tidak"]
    assert written(laid.texts[0]) == "Yakin?"


def test_cuts_fall_at_the_best_gap() -> None:
    """At the end of a paragraph, else of a line, else of a word."""
    assert [written(part) for part in split([Span("aaaa bbbb\n\ncccc dddd")], 12, "characters")] == ["aaaa bbbb", "cccc dddd"]
    assert [written(part) for part in split([Span("aaaa bbbb\ncccc dddd")], 12, "characters")] == ["aaaa bbbb", "cccc dddd"]
    assert [written(part) for part in split([Span("aaaa bbbb cccc")], 10, "characters")] == ["aaaa bbbb", "cccc"]
    assert [written(part) for part in split([Span("a" * 25)], 10, "characters")] == ["a" * 10, "a" * 10, "a" * 5]


def test_no_emoji_is_cut_in_half() -> None:
    """Telegram counts two units for it."""
    parts = split([Span("🙂" * 5000)], 4096, "utf16")
    assert all(length(written(part), "utf16") <= 4096 for part in parts)
    assert written([span for part in parts for span in part]) == "🙂" * 5000


@given(st.text(max_size=100), st.integers(2, 40))
def test_a_short_label_is_short(label: str, at_most: int) -> None:
    """Never longer than it may be, and the same when it fits."""
    cut = shortened(label, at_most)
    assert len(cut) <= at_most
    assert cut == label or (len(label) > at_most and cut.endswith("…"))


def test_what_may_be_sent_again() -> None:
    """Only what was certainly not delivered."""
    again = {
        trouble
        for trouble in ("stopped", "throttled", "window_closed", "too_large", "bad_request", "auth", "unknown_outcome", "down")
        if SendError(trouble).again
    }
    assert again == {"throttled", "down", "auth"}
