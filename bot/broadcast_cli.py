"""`netra broadcast`: look at broadcasts, follow one that runs, hold it, let it go on, end it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Reminders to many: look, follow, hold, go on, end.")
Number = Annotated[int, typer.Argument(help="The broadcast's number.")]
LOOK_SECONDS = 1.0


def opened() -> Any:
    """The program put together, on data that another process may be working on."""
    from bot.cli import opened as put_together

    return put_together(claim=False)


def failed(sentence: str) -> Exception:
    """A failure in one line."""
    from bot.serve import Failed

    return Failed(sentence)


@app.command("list")
def listed() -> None:
    """The last broadcasts with their state."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("number", "state", "day", "hours", "sent", "expected", "title"):
        table.add_column(name)
    with opened() as netra:
        broadcasts = netra.desk.broadcasts
        stopped = netra.store.read_now(broadcasts.stopped_by)
        for one in netra.store.read_now(broadcasts.listed):
            results = netra.store.read_now(lambda connection, one=one: broadcasts.results(connection, one.id))
            when = one.draft.when
            state = one.state + (f" ({one.why})" if one.why else "")
            hours = f"{when.start}-{when.end}"
            sent, expected = str(results.total("sent")), str(one.expected)
            table.add_row(str(one.id), state, f"{when.day}", hours, sent, expected, one.draft.title)
    Console().print(table)
    if stopped:
        typer.echo(f"ALL BROADCASTS ARE STOPPED by {stopped}.")


@app.command()
def show(
    number: Number, once: Annotated[bool, typer.Option("--once", help="Do not follow a running broadcast, print and end.")] = False
) -> None:
    """One broadcast with its results; one that runs is followed with a progress bar until it is over (Ctrl+C ends the looking alone)."""
    with opened() as netra:
        one, results = _look(netra, number)
        typer.echo(f"{one.id}. {one.draft.title}: {one.state}{f' ({one.why})' if one.why else ''}")
        typer.echo(f"written by {one.written_by}, approved by {one.approved_by or 'nobody yet'}")
        typer.echo(f"{one.draft.when.day} {one.draft.when.start}-{one.draft.when.end} local time {one.draft.when.label}".rstrip())
        if one.state == "running" and not once:
            one, results = _follow(netra, number)
            typer.echo(one.state + (f" ({one.why})" if one.why else ""))
        for (channel, outcome, reason), count in sorted(results.counts.items()):
            typer.echo(f"  {channel:9} {outcome:10} {reason or '-':14} {count}")
        if results.claimed or results.waiting:
            typer.echo(f"  on the wire {results.claimed}, to be tried again {results.waiting}")


def _look(netra: Any, number: int) -> Any:
    one = netra.store.read_now(lambda connection: netra.desk.broadcasts.get(connection, number))
    if one is None:
        raise failed(f"There is no broadcast {number}.")
    return one, netra.store.read_now(lambda connection: netra.desk.broadcasts.results(connection, number))


def _follow(netra: Any, number: int) -> Any:
    """Show how a running broadcast goes on, until it runs no more."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(f"broadcast {number}", total=None, rate="")
        while True:
            one, results = _look(netra, number)
            total = max(one.expected, results.settled)
            progress.update(task, completed=results.settled, total=total, rate=f"{one.rate}/min" if one.rate else "")
            if one.state != "running":
                return one, results
            time.sleep(LOOK_SECONDS)


@app.command()
def pause(number: Number) -> None:
    """Hold a broadcast where it is; nobody is lost."""
    _step(number, "paused", lambda broadcasts, connection: broadcasts.pause(connection, number, "by_staff"))


@app.command()
def resume(number: Number) -> None:
    """Let a held broadcast go on."""
    _step(number, "resumed", lambda broadcasts, connection: broadcasts.resume(connection, number))


@app.command()
def cancel(number: Number) -> None:
    """End a broadcast for good: who was not written to will not be."""
    _step(number, "cancelled", lambda broadcasts, connection: broadcasts.cancel(connection, number))


@app.command("stop-all")
def stop_all() -> None:
    """Stop every broadcast at once, until `netra broadcast release`."""
    _step(0, "stopped_all", lambda broadcasts, connection: broadcasts.stop_all(connection, "system"))


@app.command()
def release() -> None:
    """Let broadcasts go on after a stop of all."""
    _step(0, "released", lambda broadcasts, connection: broadcasts.release(connection))


REFUSED = {
    "unknown": "There is no such broadcast.",
    "not_going": "It is neither running nor waiting for its time.",
    "not_paused": "It is not held.",
    "over": "It is over already.",
}


def _step(number: int, act: str, job: Callable[[Any, Any], object]) -> None:
    """Take a step and write it to the audit log; the process that sends sees it within a tenth of a second."""
    from storage.staff import Refused

    with opened() as netra:

        def both(connection: Any) -> None:
            job(netra.desk.broadcasts, connection)
            netra.audits.add(connection, "system", f"broadcast_{act}", str(number or ""))

        try:
            netra.store.write_now(both)
        except Refused as refused:
            raise failed(REFUSED.get(refused.reason, refused.reason)) from None
    typer.echo("Done.")
