"""Starting the program, without the command line: `netra run`, `web` and `worker`; and how every command ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bot.settings import BadSetting, Settings


class Failed(Exception):
    """A command cannot be done; the message is the one line that the operator reads."""


def settings() -> Settings:
    """The settings; one sentence for each that is wrong."""
    try:
        return Settings()
    except BadSetting as error:
        raise Failed(f"A setting is wrong. {error}") from None


def serve(*, panel: bool, pages: bool, migrate_first: bool) -> None:
    """Run the program until it is told to stop."""
    gc.disable()  # what is imported and built now lives until the end: looking for garbage in it only costs
    from bot.logs import set_up
    from bot.main import build

    known = settings()
    set_up(as_json=known.env == "production")
    if migrate_first:
        bring_up_to_date(known)
    netra = build(known)
    gc.freeze()
    gc.enable()
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        asyncio.run(_run(netra, panel=panel, pages=pages))
    finally:
        netra.cleaner.close()
        netra.store.close()


async def _run(netra: Any, *, panel: bool, pages: bool) -> None:
    from bot.running import running
    from storage.schema import check

    check(netra.store.engine)
    first = None
    if netra.settings.env != "production":
        first = await netra.store.write(netra.accounts.ensure_first)
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, netra.stopping.set)
    async with running(netra, panel=panel, pages=pages) as (public_url, panel_url):
        print(f"Netra is running ({netra.settings.env}).")
        if public_url:
            print(f"  Web chat:  {public_url}/chat   (start page: {public_url}/)")
        if panel_url:
            print(f"  Panel:     {panel_url}/")
        pushed = [name for name in netra.channels if name != "web_chat"]
        print(f"  Channels:  web chat{''.join(', ' + name for name in pushed)}")
        if first is not None:
            print("  First staff login (shown only now, write it down):")
            print(f"    name:       {first[0]}")
            print(f"    passphrase: {first[1]}")
        print("Stop with Ctrl+C.")
        sys.stdout.flush()
        await netra.stopping.wait()
        print("Stopping ...")


def bring_up_to_date(known: Settings) -> None:
    """Bring the database's schema up to date."""
    from storage.schema import latest, migrate, up_to_date
    from storage.store import connect

    engine = connect(known.url())
    try:
        with engine.connect() as connection:
            done = up_to_date(connection)
        if not done:
            migrate(engine)
        if engine.dialect.name == "postgresql":
            from bot.queue import bring_up

            bring_up(engine)
    finally:
        engine.dispose()
    assert latest()


def ends(command: Callable[[], object]) -> NoReturn:
    """Run a command and end the process; a failure is one line on standard error and a non-zero exit."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.logs import where
    from faq.entries import BadEntry
    from storage.schema import Outdated
    from storage.store import AlreadyRunning

    try:
        code = command()
    except KeyboardInterrupt:
        _fail("Stopped.", 130)
    except (Failed, AlreadyRunning, Outdated, BadEntry, RuntimeError) as error:
        _fail(str(error))
    except SQLAlchemyError as error:
        _fail(f"The database cannot be used ({type(error).__name__}): check NETRA_DATABASE_URL, then `netra doctor`.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        _fail(f"{error.strerror or type(error).__name__}: {error.filename or ''}")
    except Exception as error:  # noqa: BLE001 - its words could be somebody's; its kind and place are enough to find it
        if hasattr(error, "format_message"):  # the parser of the command line says what is wrong with it
            _fail(f"{error.format_message() or 'a command is missing'} (--help says more)", getattr(error, "exit_code", 2))
        _fail(f"unexpected {type(error).__name__} at {where(error)}")
    raise SystemExit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int = 1) -> NoReturn:
    print("netra: " + " ".join(line.split()), file=sys.stderr)
    raise SystemExit(code)
