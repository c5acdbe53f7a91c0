"""One line per turn, never a word of it. Tokens, URLs and long digit runs are taken out as a last resort."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

from bot.imports import without

with without("rich"):  # structlog would load it for stack traces, which are never printed here
    import structlog

REDACTED = "[...]"
SECRETS = re.compile(r"\d{6,}:[\w-]{20,}|(?:\d[\s.\-]?){12,}|(?<=/bot)[^/\s]+|whatsapp:\S+|\+?62\d{7,}")
QUIET = ("httpx", "httpcore", "telegram", "twilio", "aiohttp.access", "aiohttp.client", "asyncio", "sqlalchemy", "alembic", "PIL")


def redact(text: str) -> str:
    """The text without what looks like a token, a code, a number or an address."""
    return SECRETS.sub(REDACTED, text)


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}


def _minute(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at"] = str(event["at"])[:16] + "Z"
    return event


class LastResort(logging.Filter):
    """Reduces whatever another library logs to the first line of its own wording and the kind of error.

    What it would fill in (an address, a URL, the words of an exception) and stack traces stay out: nobody knows what they hold.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets the record pass, without what was filled in."""
        first = (str(record.msg).splitlines() or [""])[0]
        record.msg, record.args = redact(first if record.args else first.partition(":")[0]), None
        if record.exc_info:
            kind = record.exc_info[0]
            record.msg += f" ({kind.__name__ if kind else 'error'})"
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def where(error: BaseException) -> str:
    """File and line of a fault, never its message: that could hold somebody's words."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else ""


def set_up(*, as_json: bool) -> None:
    """Log to standard error: one line per event, UTC minute, no content."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LastResort())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR if name in ("asyncio", "aiohttp.access") else logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _minute,
            _redacted,
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=18),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )


log: structlog.stdlib.BoundLogger = structlog.get_logger()
