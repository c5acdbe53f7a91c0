"""Fetching a photo again by ourselves while its platform is only out of order: else the person would have to send it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot.channels.limits import FetchError

PAUSES = (0.5, 2.0)
PATIENCE_SECONDS = 20.0
"""No new attempt after so long: the chat waits for its turn meanwhile."""


async def fetched(fetch: Callable[[], Awaitable[bytes]]) -> bytes:
    """What `fetch` gets, with another attempt after each pause while it says `down`. Raises its `FetchError`."""
    begun = time.monotonic()
    for pause in PAUSES:
        try:
            return await fetch()
        except FetchError as error:
            if error.reason != "down" or time.monotonic() - begun > PATIENCE_SECONDS:
                raise
        await asyncio.sleep(pause)
    return await fetch()
