"""A process that sends the broadcast of a folder through the real Telegram channel, to be killed: `python -m tests.broadcast.sender`."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from bot.broadcast import Broadcaster
from bot.channels.telegram import Telegram
from bot.pacer import Pacer, Recent
from bot.texts import Texts
from storage.broadcasts import OVER, Broadcasts
from storage.staff_chats import StaffChats
from storage.store import Store
from storage.subscribers import Subscribers
from storage.vault import Keys


async def deliver(folder: Path, url: str, token: str, now: datetime, rate: float) -> None:
    """Send to the end."""
    begun = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - begun)

    keys = Keys(folder / "keys")
    store = Store(f"sqlite:///{folder / 'netra.db'}")
    broadcasts = Broadcasts(keys.panel, Subscribers(keys.subscribers), clock)
    channel = Telegram(token, api_url=url)
    chats = StaffChats(keys.subscribers, clock)
    sender = Broadcaster(store, broadcasts, chats, {"telegram": channel}, {"telegram": Pacer(rate)}, Recent(), Texts.load(), clock)
    await sender.start()
    while True:
        await sender.idle()
        found = store.read_now(lambda connection: broadcasts.get(connection, 1))
        if found is None or found.state in OVER:
            break
        await asyncio.sleep(0.01)
    await sender.stop()
    await channel.stop()
    store.close()


if __name__ == "__main__":
    asyncio.run(deliver(Path(sys.argv[1]), sys.argv[2], sys.argv[3], datetime.fromisoformat(sys.argv[4]), float(sys.argv[5])))
