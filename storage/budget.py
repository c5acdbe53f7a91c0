"""The send budget: one row per sender, from which every process leases its slots. Only PostgreSQL has several processes.

GCRA in one statement, by the database's clock: the row says when the next free slot begins, and its lock puts the processes in order.
A process that dies loses its lease of 100 ms and nothing else; a pause moves the row for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

AHEAD_SECONDS = 5.0
"""The row never lies further ahead: neither replies nor a clock that was set back can hold bulk messages up for longer."""

CHANNEL = "netra_send_budget"
"""Where a pause is made known at once."""

NOW = "extract(epoch FROM clock_timestamp())::float8"

DRAW = text(
    f"""
    INSERT INTO send_budget AS b (sender, next, paused) VALUES (:sender, {NOW} + :owed + :span, 0)
    ON CONFLICT (sender) DO UPDATE SET next = :span + GREATEST(
        LEAST(GREATEST(b.next, {NOW} - :late) + :owed, {NOW} + {AHEAD_SECONDS}), b.paused)
    RETURNING next, {NOW} AS now
    """  # noqa: S608 - made of constants
)

PAUSE = text(
    f"""
    INSERT INTO send_budget AS b (sender, next, paused) VALUES (:sender, 0, {NOW} + :seconds)
    ON CONFLICT (sender) DO UPDATE SET paused = GREATEST(b.paused, {NOW} + :seconds)
    """  # noqa: S608 - made of constants
)


@dataclass(frozen=True, slots=True)
class Leased:
    """Slots from `begin` to `end`, by the database's clock, which shows `now`."""

    begin: float
    end: float
    now: float


def draw(connection: Connection, sender: str, span: float, owed: float, late: float) -> Leased:
    """Skip `owed` seconds of slots, then lease the next `span` seconds; none that began more than `late` seconds ago."""
    row = connection.execute(DRAW, {"sender": sender, "span": span, "owed": owed, "late": late}).one()
    return Leased(row.next - span, row.next, row.now)


def clock(connection: Connection) -> float:
    """What the database's clock shows."""
    return float(connection.execute(text(f"SELECT {NOW}")).scalar_one())


def pause(connection: Connection, sender: str, seconds: float) -> None:
    """Lease nothing that begins within so many seconds, and tell every process that listens."""
    connection.execute(PAUSE, {"sender": sender, "seconds": seconds})
    connection.execute(text("SELECT pg_notify(:channel, :words)"), {"channel": CHANNEL, "words": f"{seconds:.3f} {sender}"})
