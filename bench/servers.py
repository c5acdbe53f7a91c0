"""The servers that `bench/updates.py` loads, one per process: `python -m bench.servers NAME PORT FOLDER DATABASE_URL`.

All of them take Telegram's updates at /telegram/webhook, look at the secret and answer 200. None of them calls the network: what
would be sent is counted as sent. The peers stand for what most Python bots do.
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import BigInteger
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """The usual bot's tables."""


class Talk(Table):
    """The usual bot's memory of a chat."""

    __tablename__ = "talk"
    chat: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    turns: Mapped[int]
    words: Mapped[str]


SECRET = "rahasia-rahasia-rahasia"
TOKEN = "123456789:AAF-fake_token-of-the-bench_0123456789"


async def serve(handler: Any, port: int) -> None:
    """Serve one handler for ever."""
    app = web.Application()
    app.router.add_post("/telegram/webhook", handler)
    app.router.add_get("/healthz", lambda _: asyncio.sleep(0, web.Response()))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def allowed(request: web.Request) -> bool:
    """Whether the request shows the secret."""
    return hmac.compare_digest(request.headers.get("X-Telegram-Bot-Api-Secret-Token", ""), SECRET)


async def raw(port: int, folder: Path, url: str) -> None:
    """The floor: read the body, parse it, answer."""

    async def handle(request: web.Request) -> web.Response:
        json.loads(await request.read())
        return web.Response()

    await serve(handle, port)


async def netra(port: int, folder: Path, url: str) -> None:
    """The program as it is, but for the sending itself."""
    from bot.channels.telegram import Telegram
    from bot.logs import set_up
    from bot.main import build
    from bot.messages import Address, Outbound
    from bot.running import running
    from bot.settings import Settings
    from storage.schema import migrate
    from storage.store import connect

    async def nowhere(self: Telegram, address: Address, outbound: Outbound) -> Sequence[str]:
        return ["1"]

    Telegram.send = nowhere  # type: ignore[method-assign]  # the one thing that is not measured: the network
    settings = Settings(
        _env_file=None,
        NETRA_ENV="practice",
        NETRA_DATA_DIR=folder / "data",
        NETRA_KEYS_DIR=folder / "keys",
        NETRA_RUN_DIR=folder / "run",
        NETRA_DATABASE_URL=url,
        NETRA_PUBLIC_URL="https://bot.example",
        PORT=port,
        TELEGRAM_TOKEN=TOKEN,
        TELEGRAM_API_URL="http://127.0.0.1:9",
        TELEGRAM_MODE="webhook",
        TELEGRAM_WEBHOOK_SECRET=SECRET,
    )
    set_up(as_json=True)
    engine = connect(settings.url())
    migrate(engine)
    engine.dispose()
    program = build(settings)
    gc.freeze()  # as `bot.serve` does
    async with running(program, panel=False):
        await asyncio.Event().wait()


async def usual(port: int, folder: Path, url: str) -> None:
    """The usual bot: python-telegram-bot's handlers, SQLAlchemy's asynchronous ORM, one commit per update, the reply after it."""
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
    from telegram import Bot, Update
    from telegram.ext import Application, ContextTypes, ConversationHandler, MessageHandler, filters
    from telegram.request import BaseRequest

    class Nowhere(BaseRequest):
        @property
        def read_timeout(self) -> float:
            return 1.0

        async def initialize(self) -> None:
            pass

        async def shutdown(self) -> None:
            pass

        async def do_request(self, url: str, *more: Any, **others: Any) -> tuple[int, bytes]:
            if url.endswith("getMe"):
                return 200, b'{"ok":true,"result":{"id":1,"is_bot":true,"first_name":"x","username":"x_bot"}}'
            return 200, b'{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":1,"type":"private"},"text":"x"}}'

    engine = create_async_engine(url or f"sqlite+aiosqlite:///{folder / 'usual.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
    sessions = async_sessionmaker(engine)

    async def step(update: Update, context: ContextTypes.DEFAULT_TYPE) -> int:
        assert update.message is not None
        async with sessions() as session:
            talk = await session.get(Talk, update.message.chat_id)
            if talk is None:
                talk = Talk(chat=update.message.chat_id, turns=0, words="")
                session.add(talk)
            talk.turns += 1
            talk.words = f"{talk.words} {update.message.text}"[-400:]
            await session.commit()
        await update.message.reply_text("Baik, langkah berikutnya: di mana kejadiannya?")
        return 0

    words: Any = MessageHandler(filters.TEXT, step)
    bot = Bot(TOKEN, request=Nowhere(), get_updates_request=Nowhere())
    app = Application.builder().bot(bot).updater(None).build()
    app.add_handler(ConversationHandler([words], {0: [words]}, []))
    await app.initialize()

    async def handle(request: web.Request) -> web.Response:
        if not allowed(request):
            return web.Response(status=403)
        await app.process_update(Update.de_json(json.loads(await request.read()), bot))
        return web.Response()

    await serve(handle, port)


SERVERS = {"raw": raw, "netra": netra, "usual": usual}

if __name__ == "__main__":
    name, port, folder, url = sys.argv[1:5]
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        import uvloop
    except ImportError:
        pass
    else:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(SERVERS[name](int(port), Path(folder), url))
