"""What each platform can show, in one table, and the closed list of what can go wrong when sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.messages import Button, Outbound, Span

Trouble = Literal["stopped", "throttled", "window_closed", "too_large", "bad_request", "auth", "unknown_outcome", "down"]


class SendError(Exception):
    """A message was not sent, or perhaps not.

    - ``stopped``: the person blocked the bot or left: never again.
    - ``throttled``: later, after `seconds`.
    - ``window_closed``: WhatsApp's 24-hour window is over: only an approved template may be sent.
    - ``too_large`` and ``bad_request``: our fault: not again in this form.
    - ``auth``: the token is wrong: the operator must act.
    - ``down``: the platform was certainly not reached: try again.
    - ``unknown_outcome``: the request went out and no answer came back: it may have been delivered.
    """

    def __init__(self, trouble: Trouble, seconds: float = 0.0, code: str = "") -> None:
        super().__init__(f"{trouble} {code}".strip())
        self.trouble, self.seconds, self.code = trouble, seconds, code

    @property
    def again(self) -> bool:
        """Whether the same message should be tried again without doubt that it was not delivered."""
        return self.trouble in ("throttled", "down", "auth")


class FetchError(Exception):
    """A file could not be fetched; `reason` names a text: large, kind, gone (fetch again later is useless), down (try again)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """One platform's limits. Lengths are in `unit`s: UTF-16 code units on Telegram, characters elsewhere."""

    text: int
    unit: Literal["utf16", "characters"]
    buttons: int
    """So many choices can be buttons."""
    button_label: int
    list_items: int
    """So many choices can be a list (0: the platform has no lists)."""
    list_label: int
    list_detail: int
    interactive_text: int
    """The longest text that may stand above buttons or a list."""
    numbers_shown: bool
    """Choices are also written as numbered lines, because buttons may not arrive."""


LIMITS = {
    # Bot API: text 1-4096 after entities, in UTF-16 units; 100 buttons a keyboard. 40 characters of a label are readable on a phone.
    "telegram": Limits(4096, "utf16", 100, 40, 0, 0, 0, 4096, False),
    # Twilio content: quick reply <= 3 buttons of 20, list picker <= 10 items of 24 with descriptions of 72, body 1024; text 1600.
    "whatsapp": Limits(1600, "characters", 3, 20, 10, 24, 72, 1024, True),
    # Our own page and terminal: long enough for anything we say.
    "web_chat": Limits(20000, "characters", 100, 200, 0, 0, 0, 20000, False),
    "console": Limits(20000, "characters", 0, 200, 0, 0, 0, 20000, True),
}


def length(text: str, unit: str) -> int:
    """The length as the platform counts it."""
    return len(text.encode("utf-16-le")) // 2 if unit == "utf16" else len(text)


def shortened(label: str, at_most: int) -> str:
    """The label, cut at a word where it is too long, with an ellipsis."""
    if len(label) <= at_most:
        return label
    cut = label[: at_most - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > at_most // 2 else cut).rstrip(" ,;(") + "…"


@dataclass(frozen=True, slots=True)
class Laid:
    """A message as one platform can show it: texts in order, and the choices under the last one."""

    texts: tuple[tuple[Span, ...], ...]
    buttons: tuple[Button, ...]
    shown_as: Literal["none", "buttons", "list", "numbers"]


def lay_out(outbound: Outbound, limits: Limits) -> Laid:
    """Fit a message into a platform's limits: split at paragraph ends, choices as buttons, as a list, or as numbered lines.

    Where labels have to be cut or look the same, or choices may not arrive as buttons, they stand in full as numbered lines in the
    text; the labels of the first two kinds begin with their numbers.
    """
    choices = outbound.buttons
    spans = list(outbound.spans)
    shown: Literal["none", "buttons", "list", "numbers"] = "none"
    if choices:
        if len(choices) <= limits.buttons:
            shown, label = "buttons", limits.button_label
        elif len(choices) <= limits.list_items:
            shown, label = "list", limits.list_label
        else:
            shown, label = "numbers", 0
        alike = len({choice.label for choice in choices}) < len(choices)
        cut = alike or any(len(choice.label) > label for choice in choices)
        if limits.numbers_shown or cut or shown == "numbers":
            spans.append(Span("\n\n" + "\n".join(numbered(choices, with_details=alike or shown != "list"))))
        if shown in ("buttons", "list"):
            choices = tuple(
                Button(
                    choice.token,
                    shortened(f"{number}. {choice.label}" if cut else choice.label, label),
                    shortened(choice.detail, limits.list_detail) if limits.list_detail else "",
                )
                for number, choice in enumerate(choices, start=1)
            )
    texts = split(spans, limits.text, limits.unit)
    if shown in ("buttons", "list") and limits.interactive_text < limits.text:
        last = "".join(span.text for span in texts[-1])
        if length(last, limits.unit) > limits.interactive_text:
            texts = [*texts[:-1], *split(texts[-1], limits.interactive_text, limits.unit)]
    return Laid(tuple(tuple(text) for text in texts), choices, shown)


def numbered(choices: Sequence[Button], *, with_details: bool) -> list[str]:
    """The choices as numbered lines."""
    return [
        f"{number}. {choice.label}" + (f" ({choice.detail})" if with_details and choice.detail else "")
        for number, choice in enumerate(choices, start=1)
    ]


def split(spans: Sequence[Span], at_most: int, unit: str) -> list[list[Span]]:
    """The spans in messages of at most `at_most`, cut at a paragraph's end, else a line's, else a word's; nothing is lost but the gap."""
    texts: list[list[Span]] = []
    rest = [span for span in spans if span.text]
    while rest:
        whole = "".join(span.text for span in rest)
        if length(whole, unit) <= at_most:
            texts.append(rest)
            break
        cut = _cut(whole, at_most, unit)
        head, rest = _parted(rest, cut)
        texts.append(_stripped(head))
        rest = _stripped(rest)
    return texts or [[]]


def _cut(whole: str, at_most: int, unit: str) -> int:
    fits = at_most
    while length(whole[:fits], unit) > at_most:
        fits -= max(1, (length(whole[:fits], unit) - at_most) // 2)
    for gap in ("\n\n", "\n", " "):
        at = whole.rfind(gap, fits // 3, fits)
        if at > 0:
            return at
    return fits


def _parted(spans: Sequence[Span], at: int) -> tuple[list[Span], list[Span]]:
    head: list[Span] = []
    rest: list[Span] = []
    for span in spans:
        if at >= len(span.text):
            head.append(span)
        elif at > 0:
            head.append(Span(span.text[:at], span.style))
            rest.append(Span(span.text[at:], span.style))
        else:
            rest.append(span)
        at -= len(span.text)
    return head, rest


def _stripped(spans: Sequence[Span]) -> list[Span]:
    found = [span for span in spans if span.text]
    while found and not found[0].text.strip():
        found.pop(0)
    while found and not found[-1].text.strip():
        found.pop()
    if found:
        found[0] = Span(found[0].text.lstrip("\n "), found[0].style)
        found[-1] = Span(found[-1].text.rstrip("\n "), found[-1].style)
    return found
