"""Work for later in the program's own database, where one process does all: kept with the transaction that wants it, done once it is due.

A job that was begun and not done when the program ended is begun again at the next start; so a job does its steps in a way that bears
repetition. `docs/scale-out.md` has the reasons, and the other queue for several processes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from storage.models import Job as Row

Argument = int | str


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that has to be done now; `tries`: how often it was begun before."""

    id: int
    name: str
    arguments: Mapping[str, Argument]
    tries: int
    periodic: bool


def add(
    connection: Connection, name: str, arguments: Mapping[str, Argument], *, due: float, lock: str = "", periodic: bool = False
) -> None:
    """Keep a job for later."""
    words = json.dumps(arguments, sort_keys=True)
    connection.execute(insert(Row).values(name=name, lock=lock, arguments=words, due=due, tries=0, periodic=periodic, running=False))


def take_up(connection: Connection) -> int:
    """At the start: what an earlier run began and did not finish is begun again; how many."""
    return connection.execute(update(Row).where(Row.running.is_(True)).values(running=False, tries=Row.tries + 1)).rowcount


def keep_periodic(connection: Connection, due: Mapping[str, float]) -> None:
    """Have exactly one periodic job of each of these names, and of no other."""
    known = set(connection.execute(select(Row.name).where(Row.periodic.is_(True))).scalars())
    connection.execute(delete(Row).where(Row.periodic.is_(True), Row.name.not_in(due)))
    for name in due.keys() - known:
        add(connection, name, {}, due=due[name], lock=name, periodic=True)


def next_due(connection: Connection) -> float | None:
    """When the first job that is not running may begin; None when there is none."""
    found: float | None = connection.execute(select(func.min(Row.due)).where(Row.running.is_(False))).scalar()
    return found


def begin(connection: Connection, now: float, names: Collection[str], limit: int) -> list[Begun]:
    """Begin at most so many jobs of these names that are due, in order, no two of one lock."""
    locked = set(connection.execute(select(Row.lock).where(Row.running.is_(True), Row.lock != "")).scalars())
    begun: list[Begun] = []
    waiting = select(Row).where(Row.running.is_(False), Row.due <= now, Row.name.in_(names)).order_by(Row.id)
    for row in connection.execute(waiting).mappings():
        if len(begun) == limit:
            break
        if row["lock"] not in locked:
            locked |= {row["lock"]} - {""}
            begun.append(Begun(row["id"], row["name"], json.loads(row["arguments"]), row["tries"], row["periodic"]))
    connection.execute(update(Row).where(Row.id.in_([job.id for job in begun])).values(running=True))
    return begun


def done(connection: Connection, job: int) -> None:
    """Forget a job that is done or given up."""
    connection.execute(delete(Row).where(Row.id == job))


def later(connection: Connection, job: int, due: float, *, tries: int) -> None:
    """Let a job wait for another time."""
    connection.execute(update(Row).where(Row.id == job).values(running=False, due=due, tries=tries))


def waiting(connection: Connection) -> Iterable[str]:
    """The names of the jobs that are not done, in order."""
    return connection.execute(select(Row.name).order_by(Row.id)).scalars().all()
