"""Requests to Telegram's Bot API over aiohttp, for python-telegram-bot's `Bot` and for calls of our own.

The library's own HTTP client reaches about a hundred requests a second; this one passes the platform's ceiling. Every URL of the Bot API
holds the bot's token, so an error raised here has neither the URL nor another error that knows it (`__cause__`, `__context__`).

    TelegramError (the library's)
      Unreached    certainly not sent
      Unanswered   sent, and no answer came back: it may have been done
      NotTheApi    an answer, but not the Bot API's: a proxy's page, a server error
      TooLarge     the request is too large
      Throttled    not done; to be tried again after a pause
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlencode

import aiohttp
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData
from yarl import URL

from bot.channels.clock import PlatformClock

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 15.0
FINISH_SECONDS = 5.0
"""So long a stop waits for answers: a request that is cut off may have been done, and nobody would know."""
CONNECTIONS = 256
THROTTLED_SECONDS = 5
"""The pause after a 429 that names none."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Unreached(NetworkError):
    """The request was certainly not sent."""


class Unanswered(TimedOut):
    """The request was sent, at least in part, and no whole answer came back."""


class NotTheApi(NetworkError):
    """Somebody answered, but not with an answer of the Bot API, or it said that it is out of order."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class TooLarge(NetworkError):
    """The request is larger than the platform takes."""


class Throttled(NetworkError):
    """Too many requests: nothing was done, and nothing will be for `seconds`. (The library's own class warns about itself.)"""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"wait {seconds} s")
        self.seconds = seconds


class AiohttpRequest(BaseRequest):
    """The library's request class over one aiohttp session, which is opened by the first request and belongs to its loop."""

    def __init__(self) -> None:
        self.clock = PlatformClock()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._under_way: set[asyncio.Future[None]] = set()

    @property
    def read_timeout(self) -> float | None:
        """How long an answer may take."""
        return ANSWER_SECONDS

    async def initialize(self) -> None:
        """Nothing: the first request opens the session."""

    async def shutdown(self) -> None:
        """Let requests under way have their answers, then close every connection; requests from now on are `Unreached`."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=FINISH_SECONDS)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: object = BaseRequest.DEFAULT_NONE,
        write_timeout: object = BaseRequest.DEFAULT_NONE,
        connect_timeout: object = BaseRequest.DEFAULT_NONE,
        pool_timeout: object = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """One request of the library. Whatever is no success is raised here; this bot uploads no files."""
        seconds = float(read_timeout) if isinstance(read_timeout, (int, float)) else ANSWER_SECONDS
        return 200, await self._exchange(method, url, request_data.json_parameters if request_data else {}, seconds)

    async def call(self, url: str, parameters: Mapping[str, str] | str, *, waits: float = 0.0) -> Any:
        """The plain result of one method, for what is read without the library's types; `waits` is how long the platform may take
        on purpose. The parameters may be encoded already, as one text. Raises `TelegramError`.
        """
        return self.parse_json_payload(await self._exchange("POST", url, parameters, waits + ANSWER_SECONDS))["result"]

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The answer as JSON. Unlike the library's own, it logs nothing of an answer that is none."""
        answer = _object(payload)
        if answer is None or "result" not in answer:
            raise NotTheApi(200)
        return answer

    def session(self) -> aiohttp.ClientSession:
        """The session, opened now if need be; it keeps no cookie. Raises `Unreached` after `shutdown`."""
        if self._closed:
            raise Unreached("closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
            )
        return self._session

    async def _exchange(self, method: str, url: str, parameters: Mapping[str, str] | str, seconds: float) -> bytes:
        timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS + seconds, connect=CONNECT_SECONDS, sock_read=seconds)
        body = (parameters if isinstance(parameters, str) else urlencode(parameters)).encode()
        failure: TelegramError
        session = self.session()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            async with session.request(
                method, URL(url, encoded=True), data=body, headers=FORM, timeout=timeout, allow_redirects=False
            ) as response:
                payload = await response.read()
                self.clock.heard(response.headers.get("Date", ""))
                status, pause = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            failure = Unreached(type(error).__name__)
        except (ValueError, aiohttp.NonHttpUrlClientError):
            failure = Unreached("the address is not an address")
        except (aiohttp.ClientError, OSError) as error:
            failure = Unanswered(type(error).__name__)
        else:
            if 200 <= status <= 299 and payload[:1] == b"{":
                return payload
            _refuse(status, payload, pause)
        finally:
            self._under_way.discard(done)
            done.set_result(None)
        raise failure  # out of the `except`, so that it does not carry an error that knows the URL


def _refuse(status: int, payload: bytes, pause: str) -> NoReturn:
    """Raise what an answer without success says, in the library's classes."""
    answer = _object(payload) or {}
    parameters = answer.get("parameters")
    if not isinstance(parameters, dict):
        parameters = {}
    description = str(answer.get("description", ""))
    if status == 429:
        wanted = parameters.get("retry_after", pause)
        raise Throttled(int(wanted) if str(wanted).isdigit() else THROTTLED_SECONDS)
    if status == 413:
        raise TooLarge("the request is too large")
    if status >= 500 or "ok" not in answer:
        raise NotTheApi(status)
    if isinstance(parameters.get("migrate_to_chat_id"), int):
        raise ChatMigrated(parameters["migrate_to_chat_id"])
    if status in (401, 404):
        raise InvalidToken(description)
    if status == 403:
        raise Forbidden(description)
    if status == 409:
        raise Conflict(description)
    raise BadRequest(description)


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
