"""The same conversations in the terminal: `netra chat`."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from bot.channels import Receive
from bot.channels.limits import LIMITS, FetchError, numbered
from bot.messages import Address, Attachment, Inbound, Outbound


class Console:
    """Reads lines, prints answers; a line `@path` sends a photo."""

    name = "console"
    limits = LIMITS["console"]

    def __init__(self) -> None:
        self.address = Address(self.name, secrets.token_hex(8))

    def routes(self) -> Sequence[web.RouteDef]:
        """None: a terminal has no pages."""
        return []

    async def start(self, receive: Receive) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a file of this machine."""
        try:
            return Path(attachment.source).expanduser().read_bytes()
        except OSError:
            raise FetchError("gone") from None

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Never called: the loop prints what it gets."""
        return []

    async def forget(self, address: Address, message_ids: Sequence[str]) -> None:
        """The terminal's own scroll-back is out of reach."""

    async def check(self) -> str:
        """Always well."""
        return ""

    def inbound(self, line: str, language: str) -> Inbound:
        """A typed line as a message."""
        words = line.strip()
        if words.startswith("@"):
            paths = [part for part in words[1:].split(" @") if part.strip()]
            return Inbound(
                self.address, secrets.token_hex(8), attachments=tuple(Attachment(source=path.strip()) for path in paths), language=language
            )
        return Inbound(self.address, secrets.token_hex(8), text=words, language=language)

    async def run(
        self,
        talk: Callable[[Inbound], Awaitable[Sequence[Outbound]]],
        read: Callable[[], Awaitable[str | None]],
        show: Callable[[str], None],
        collected: Callable[[Address], Awaitable[None]],
        language: str = "id",
    ) -> None:
        """Talk until the input ends."""
        line: str | None = "/menu"
        while line is not None:
            for message in await talk(self.inbound(line, language)):
                show(as_text(message))
            await collected(self.address)
            line = await read()


def as_text(message: Outbound) -> str:
    """A message as plain lines, choices numbered."""
    lines = numbered(message.buttons, with_details=True)
    return message.text + ("\n\n" + "\n".join(lines) if lines else "")
