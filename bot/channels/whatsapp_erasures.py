"""What Twilio still holds of a message and is to be deleted there: media, then the words, then the message; tried until it is done."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from bot.channels.limits import SendError
from bot.channels.twilio_rest import TwilioRest
from bot.logs import log

DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Between tries; the last one again and again. A message that is still on its way cannot be deleted yet."""
AT_MOST = 20_000
PACE = 0.02
"""Between two erasures, so that they never stand in the way of answers."""
SID = re.compile(r"[A-Za-z0-9]{2,64}")


@dataclass(frozen=True, slots=True)
class Erasure:
    """One message to be deleted at Twilio, with its media."""

    message: str
    media: tuple[str, ...] = ()


Note = Callable[[Erasure], Awaitable[None]]


async def nowhere(erasure: Erasure) -> None:
    """Remembers nothing: the queue in memory is all there is."""


class Erasures:
    """The queue of erasures: `remember` keeps one durably before it is tried, `forget` drops it when it is done."""

    def __init__(
        self,
        rest: TwilioRest,
        *,
        remember: Note = nowhere,
        forget: Note = nowhere,
        delays: Sequence[float] = DELAYS,
        at_most: int = AT_MOST,
    ) -> None:
        self.rest, self.at_most = rest, at_most
        self._remember, self._forget = remember, forget
        self._delays = tuple(delays)
        self._due: list[tuple[float, int, Erasure, int]] = []
        self._queued: dict[str, float] = {}
        self._order = count()
        self._changed = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many are not done yet."""
        return len(self._queued)

    def start(self) -> None:
        """Begin to work off the queue."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="whatsapp-erasures")

    async def stop(self) -> None:
        """Stop; what was remembered durably is given again at the next start."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def erase(self, erasure: Erasure) -> None:
        """Delete now; when Twilio cannot, later. Never raises for Twilio's sake."""
        if SID.fullmatch(erasure.message):
            self._queued.pop(erasure.message, None)
            await self._remember(erasure)
            await self._try(erasure, 0)

    async def later(self, erasure: Erasure, seconds: float) -> None:
        """Delete after so many seconds, or sooner if that was said before."""
        if SID.fullmatch(erasure.message):
            await self._remember(erasure)
            self._enqueue(erasure, seconds, 0)

    async def _try(self, erasure: Erasure, tries: int) -> None:
        try:
            await self._erased(erasure)
        except SendError as error:
            delay = max(self._delays[min(tries, len(self._delays) - 1)], error.seconds)
            self._enqueue(erasure, delay, tries + 1)
            log.info("deletion postponed", channel="whatsapp", trouble=error.trouble, code=error.code, tries=tries + 1)
        else:
            await self._forget(erasure)

    async def _erased(self, erasure: Erasure) -> None:
        message = f"{self.rest.account_url}/Messages/{erasure.message}"
        for medium in erasure.media:
            if SID.fullmatch(medium):
                await self._done("DELETE", f"{message}/Media/{medium}.json")
        if await self._done("POST", f"{message}.json", {"Body": ""}):
            await self._done("DELETE", f"{message}.json")

    async def _done(self, method: str, url: str, form: dict[str, str] | None = None) -> bool:
        """Whether there was something to do; raises `SendError` when it could not be done."""
        answer = await self.rest.call(method, url, form=form)
        if answer.status in (404, 410):
            return False
        if not answer.well:
            raise SendError("down", answer.wait, str(answer.code or answer.status))
        return True

    def _enqueue(self, erasure: Erasure, seconds: float, tries: int) -> None:
        if len(self._due) >= self.at_most:
            log.warning("too many deletions wait", channel="whatsapp", waiting=len(self._due))
            return
        due = asyncio.get_running_loop().time() + seconds
        if due < self._queued.get(erasure.message, float("inf")):
            self._queued[erasure.message] = due
            heapq.heappush(self._due, (due, next(self._order), erasure, tries))
            self._changed.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            wait = self._due[0][0] - loop.time() if self._due else None
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                continue
            due, _, erasure, tries = heapq.heappop(self._due)
            if self._queued.get(erasure.message) != due:
                continue  # it was done sooner
            del self._queued[erasure.message]
            try:
                await self._try(erasure, tries)
            except Exception as error:  # noqa: BLE001 - a failing `forget` must not end the work on the others
                log.error("deletion failed", channel="whatsapp", error=type(error).__name__)
            await asyncio.sleep(PACE)
