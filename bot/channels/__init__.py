"""Channels: translators between a platform and `bot.messages`, each with a table of limits, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from bot.channels.limits import Limits
from bot.messages import Address, Attachment, Inbound, Outbound

Receive = Callable[[Inbound], Awaitable[bool]]
"""Keeps a message durably; False when it was delivered before. Only then may the platform be told that it was received."""


class Channel(Protocol):
    """What every channel offers."""

    name: str
    limits: Limits

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes of its webhooks or pages on the public listener."""

    async def start(self, receive: Receive) -> None:
        """Begin to receive (polling, registration of the webhook). Never raises for a platform that is down."""

    async def stop(self) -> None:
        """Stop receiving and close every connection."""

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a photo. Raises `storage.evidence`-like refusals as `FetchError`."""

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Send one message; the platform's ids of what was sent. Raises `SendError`."""

    async def forget(self, address: Address, message_ids: Sequence[str]) -> None:
        """Delete these messages of the chat as far as the platform allows. Raises `SendError`."""

    async def check(self) -> str:
        """One line for `netra doctor`: empty when all is well, else what is wrong and what to do."""
