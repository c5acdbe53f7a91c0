"""What time a platform says it is: our own machine's clock may be wrong by hours, and the platform judges by its own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

NOTHING = timedelta()
JITTER = timedelta(seconds=30)
"""Differences up to this are the way of an answer, not a wrong clock."""
WORTH_TELLING = timedelta(minutes=2)
"""From here on codes of the second factor fail, and an operator should know."""


class PlatformClock:
    """How far a platform's clock is ahead of ours, by the `Date` of its last answer."""

    def __init__(self) -> None:
        self._said, self._at = "", 0.0

    def heard(self, date: str) -> None:
        """An answer with this `Date` has come in now."""
        if date:
            self._said, self._at = date, time.time()

    @property
    def ahead(self) -> timedelta:
        """How far the platform is ahead (negative: behind); nothing as long as none has said anything that can be read."""
        try:
            difference = parsedate_to_datetime(self._said).astimezone(UTC) - datetime.fromtimestamp(self._at, UTC)
        except ValueError:
            return NOTHING
        return difference if abs(difference) > JITTER else NOTHING

    def trouble(self) -> str:
        """One line for `netra doctor` when the clocks differ by minutes; else empty."""
        minutes = round(self.ahead / timedelta(minutes=1))
        if abs(self.ahead) < WORTH_TELLING:
            return ""
        which = "slow" if minutes > 0 else "fast"
        return f"this machine's clock is {abs(minutes)} minutes {which}: set it (timedatectl set-ntp true)"
