"""What every channel speaks: one message in, one message out, neutral of any platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Style = Literal["", "bold", "italic", "code"]
Wants = Literal["text", "choice", "photo", "nothing"]


def _plain(message: Any) -> dict[str, Any]:
    """The fields of a slotted dataclass; `dataclasses.asdict` copies each value deeply, which costs ten times this."""
    return {name: getattr(message, name) for name in message.__slots__}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a chat lives: the channel's name and the platform's own id of the chat."""

    channel: str
    chat: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a person sent: where to fetch it, or the id of its cleaned, encrypted copy.

    `refused` names the reason (a text key) when a file is of a kind that is never stored.
    """

    source: str = ""
    evidence: str = ""
    refused: str = ""
    as_file: bool = False
    """It was sent as a file, which keeps place and camera; the person is told."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from a person, as the channel understood it."""

    address: Address
    platform_id: str
    text: str = ""
    button: str = ""
    attachments: tuple[Attachment, ...] = ()
    language: str = ""
    receipt: str = ""
    """Random handle of a receipt code that stood in the text; the code itself is taken out at the door."""
    message_id: str = ""
    """The platform's id of the message, by which it can be deleted later (may differ from the id of its delivery)."""
    group: str = ""
    """Messages of one album have the same group; they are gathered before the turn, since a platform delivers them one by one."""
    edited: bool = False
    """The person changed an earlier message, the one with this `message_id`."""
    control: str = ""
    """Not a message but news of the chat itself: `stopped`, `restarted` or `moved:<new id of the chat>`."""

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return _plain(self) | {"address": _plain(self.address), "attachments": [_plain(item) for item in self.attachments]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inbound:
        """The message that `to_json` wrote."""
        known = dict(data)
        known["address"] = Address(**known["address"])
        known["attachments"] = tuple(Attachment(**item) for item in known.get("attachments", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style. Words of a person always stand in a span without style."""

    text: str
    style: Style = ""


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that can be chosen. `token` comes back when it is pressed and says nothing about the chat."""

    token: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to a person."""

    spans: tuple[Span, ...]
    buttons: tuple[Button, ...] = ()
    wants: Wants = "nothing"
    secret: bool = False
    """Holds a receipt code: not to be forwarded, deleted soon where the platform allows."""
    forget: bool = False
    """Ask the channel to delete the chat's messages as far as the platform allows."""
    document: str = ""
    """Name of a file made for this message (`documents` of the sender knows its bytes)."""
    template: tuple[str, ...] = ()
    """WhatsApp outside of its 24-hour window: the id of an approved template, then its values; `spans` are how it reads."""
    paid: bool = False
    """Telegram: may be sent above the free rate, for Stars."""
    many: bool = False
    """This very object goes to many people: a channel may keep how it drew it."""

    @property
    def text(self) -> str:
        """The words without style."""
        return "".join(span.text for span in self.spans)

    def with_buttons(self, buttons: Sequence[Button]) -> Outbound:
        """The same message with other buttons."""
        return replace(self, buttons=tuple(buttons))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return _plain(self) | {"spans": [_plain(span) for span in self.spans], "buttons": [_plain(button) for button in self.buttons]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outbound:
        """The message that `to_json` wrote."""
        known = dict(data)
        known["spans"] = tuple(Span(**span) for span in known["spans"])
        known["buttons"] = tuple(Button(**button) for button in known.get("buttons", ()))
        known["template"] = tuple(known.get("template", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Option:
    """A choice that a question offers; `label` empty means: the text catalogue knows it."""

    value: str
    label: str = ""
    detail: str = ""
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A raw answer, exactly as it came: what is stored under a question's name."""

    text: str = ""
    choice: str = ""
    photos: tuple[str, ...] = ()
    refused: tuple[str, ...] = field(default=())
    receipt: str = ""
    day: str = ""
    """The day on which it was given (ISO), so that "kemarin" means the same day however late it is read again."""

    def to_json(self) -> dict[str, Any]:
        """Only what is there, as plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in _plain(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        """The answer that `to_json` wrote; an unknown form is an empty answer, which is asked again."""
        return cls(
            text=str(data.get("text", "")),
            choice=str(data.get("choice", "")),
            photos=tuple(data.get("photos", ())),
            refused=tuple(data.get("refused", ())),
            receipt=str(data.get("receipt", "")),
            day=str(data.get("day", "")),
        )
