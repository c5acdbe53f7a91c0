"""Twilio's REST API as the WhatsApp channel needs it: one request at a time, our own timeouts, no retry, and a closed list of troubles.

The client of the `twilio` package has no timeout and repeats a POST after a lost answer, which sends a message twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from bot.channels.clock import PlatformClock
from bot.channels.limits import FetchError, SendError, Trouble

LIVE_API = "https://api.twilio.com"
TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5, sock_read=15)
MEDIA_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=15)
IDLE_SECONDS = 10
"""An idle connection is closed by us before Twilio does it, because a POST on a dying one has no known outcome."""
ANSWER_BYTES = 4 << 20
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MEDIA_BYTES = 16 << 20
"""Twilio: 16 MB a message."""
REDIRECTS = 3
STORAGE_HOSTS = frozenset({"mms.twiliocdn.com", "media.twiliocdn.com", "s3-external-1.amazonaws.com", "s3.amazonaws.com"})
"""Where Twilio's media addresses lead; their addresses are signed and need no credentials."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
THROTTLED_SECONDS = 2.0
LONGEST_WAIT = 24 * 3600.0

CODES: Mapping[int, Trouble] = {
    # the window of 24 hours, and the sandbox's join, which lapses in the same way
    63016: "window_closed",
    63015: "window_closed",
    # rates: channel, account, HTTP, queue, and the account's day
    63017: "throttled",
    63018: "throttled",
    20429: "throttled",
    14107: "throttled",
    21611: "throttled",
    30001: "throttled",
    63038: "throttled",
    # not on WhatsApp, bad recipient, opted out, blocked, stopped marketing
    63003: "stopped",
    63014: "stopped",
    63024: "stopped",
    63033: "stopped",
    21610: "stopped",
    131050: "stopped",
    # credentials, account suspended, sender unknown, account not authorised
    20003: "auth",
    20005: "auth",
    20006: "auth",
    20008: "auth",
    20404: "auth",
    21606: "auth",
    63007: "auth",
    63051: "auth",
    # ours
    21617: "too_large",
    63019: "bad_request",
    63021: "bad_request",
    63030: "bad_request",
    63032: "bad_request",
    63049: "bad_request",
}
DAY_IS_FULL = 63038


def trouble_of(code: int) -> Trouble | None:
    """What an error code of Twilio means for the sender; None for a code that we do not know."""
    return CODES.get(code)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Twilio answered: the status, the JSON object (empty for anything else), and the seconds to wait that it named."""

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)
    wait: float = 0.0

    @property
    def well(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def code(self) -> int:
        """Twilio's error code, 0 when there is none."""
        return _number(self.data.get("code") or self.data.get("error_code"))


def as_error(answer: Answer, now: datetime) -> SendError:
    """The trouble that an answer stands for, when it is not what was hoped for."""
    code = answer.code
    known = CODES.get(code)
    name = str(code or answer.status)
    if known == "throttled" or answer.status == 429:
        return SendError("throttled", _until_tomorrow(now) if code == DAY_IS_FULL else answer.wait or THROTTLED_SECONDS, name)
    if known is not None:
        return SendError(known, code=name)
    if answer.status in (401, 403):
        return SendError("auth", code=name)
    if answer.status == 413:
        return SendError("too_large", code=name)
    if answer.well or answer.status >= 500 or answer.status == 408:
        return SendError("unknown_outcome", code=name)
    if answer.status == 400 or answer.data:
        return SendError("bad_request", code=name)
    # A redirect, or a page of something between us and Twilio: it never arrived there.
    return SendError("down", code=name)


class TwilioRest:
    """One account at Twilio: its connections, its credentials, and no other state."""

    def __init__(self, account_sid: str, auth_token: str, api_url: str) -> None:
        self.account_sid, self.api_url = account_sid, api_url.rstrip("/")
        self.account_url = f"{self.api_url}/2010-04-01/Accounts/{account_sid}"
        self._origin = _origin(URL(self.api_url))
        self._credentials = "Basic " + base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._session: aiohttp.ClientSession | None = None
        self.clock = PlatformClock()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=200, keepalive_timeout=IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "netra", "Accept-Encoding": "identity"},
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, url: str, *, form: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None) -> Answer:
        """The answer to one request, whatever its status.

        Raises `SendError`: `down` when the request certainly did not arrive, `unknown_outcome` when it may have been acted upon.
        """
        headers = {"Authorization": self._credentials, "Accept": JSON}
        data = None
        if form is not None:  # by hand: aiohttp's own way prepares a multipart body for each form, and costs as much as the rest
            data, headers["Content-Type"] = urlencode(form).encode(), FORM
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), JSON
        try:
            async with self._open().request(
                method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False, timeout=TIMEOUT
            ) as response:
                self.clock.heard(response.headers.get("Date", ""))
                return Answer(response.status, _object(await _limited(response)), _seconds(response.headers.get("Retry-After", "")))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise SendError("down", code=type(error).__name__) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SendError("unknown_outcome", code=type(error).__name__) from None

    async def download(self, url: str, hosts: Collection[str]) -> bytes:
        """The bytes of a medium. Credentials go to the API's own address and to `hosts`, and never along a redirect to another host.

        Raises `FetchError`: large, gone (also: an address that we do not trust), down.
        """
        here = self._own(url)
        if here is None or not self._trusted(here, hosts):
            raise FetchError("gone")
        first = _origin(here)
        try:
            async with asyncio.timeout(MEDIA_TIMEOUT.total):
                for _ in range(REDIRECTS + 1):
                    headers = {"Authorization": self._credentials} if _origin(here) == first else {}
                    async with self._open().get(here, headers=headers, allow_redirects=False, timeout=MEDIA_TIMEOUT) as response:
                        if response.status not in (301, 302, 303, 307, 308):
                            return await _media(response)
                        onward = _joined(here, response.headers.get("Location", ""))
                    if onward is None or not (self._trusted(onward, hosts) or self._storage(onward)):
                        raise FetchError("gone")
                    here = onward
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise FetchError("down") from None
        raise FetchError("gone")

    def _own(self, url: str) -> URL | None:
        """The address; one at Twilio's API goes through the API address that the operator set (an egress proxy)."""
        address = _address(url)
        if address is not None and address.scheme == "https" and _origin(address) == _origin(URL(LIVE_API)):
            return URL(self.api_url + address.raw_path_qs, encoded=True)
        return address

    def _trusted(self, url: URL, hosts: Collection[str]) -> bool:
        if url.user is not None or url.password is not None:
            return False
        if _origin(url) == self._origin:
            return True
        named = url.host in hosts and (url.is_default_port() or url.host in LOOPBACK)
        return (named or f"{url.host}:{url.port}" in hosts) and (url.scheme == "https" or url.host in LOOPBACK)

    def _storage(self, url: URL) -> bool:
        if url.user is not None or url.password is not None:
            return False
        if url.host in LOOPBACK:
            return self._origin[1] in LOOPBACK
        return url.scheme == "https" and url.is_default_port() and url.host in STORAGE_HOSTS


async def _media(response: aiohttp.ClientResponse) -> bytes:
    if response.status in (404, 410):
        raise FetchError("gone")
    if response.status != 200:
        raise FetchError("down")
    if (response.content_length or 0) > MEDIA_BYTES:
        raise FetchError("large")
    found = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        found += chunk
        if len(found) > MEDIA_BYTES:
            raise FetchError("large")
    return bytes(found)


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        found += chunk
        if len(found) > ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("answer too long")
    return bytes(found)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _seconds(header: str) -> float:
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _until_tomorrow(now: datetime) -> float:
    tomorrow = (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max((tomorrow - now).total_seconds(), 60.0)


def _origin(url: URL) -> tuple[str, str, int]:
    return url.scheme, url.host or "", url.port or 0


def _address(url: str) -> URL | None:
    try:
        address = URL(url, encoded=True)
        return address if address.scheme in ("http", "https") and address.host else None
    except ValueError:
        return None


def _joined(here: URL, location: str) -> URL | None:
    try:
        return _address(str(here.join(URL(location, encoded=True)))) if location else None
    except ValueError:
        return None
