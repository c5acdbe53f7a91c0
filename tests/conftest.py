"""Fixtures: a real SQLite store in a temporary folder, a clock that stands still until it is moved, and `talk`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from faq.match import Faq
from tests.talk import Machine, Talk


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2024, 11, 18, 10, 0, tzinfo=ZoneInfo("Asia/Jakarta"))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)


@pytest.fixture(scope="session")
def faq() -> Faq:
    """The FAQ as shipped."""
    return Faq.load()


@pytest.fixture
def clock() -> Clock:
    """Monday 18 November 2024, ten in the morning in Jakarta."""
    return Clock()


@pytest.fixture
def machine(tmp_path: Path, clock: Clock, faq: Faq) -> Iterator[Machine]:
    """Store, keys, flows and conductor over a temporary folder, with one receiver."""
    made = Machine(tmp_path, clock, faq)
    yield made
    made.close()


@pytest.fixture
def talk(machine: Machine) -> Talk:
    """A person in a chat."""
    return Talk(machine)
