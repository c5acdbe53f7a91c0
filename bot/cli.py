"""The `netra` command. Every subcommand has --help and ends with one clear line on standard error when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bot import cli_vault
from bot.broadcast_cli import app as broadcast_app
from bot.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Netra: neutrality of civil servants, anonymous tips, reminders.",
    pretty_exceptions_enable=False,
)
faq_app = typer.Typer(no_args_is_help=True, help="The curated answers.")
staff_app = typer.Typer(no_args_is_help=True, help="Accounts of the oversight team.")
receivers_app = typer.Typer(no_args_is_help=True, help="Who can open tips.")
audit_app = typer.Typer(no_args_is_help=True, help="The log of staff actions.")
retention_app = typer.Typer(no_args_is_help=True, help="Deletion on schedule.")
whatsapp_app = typer.Typer(no_args_is_help=True, help="WhatsApp through Twilio.")
templates_app = typer.Typer(no_args_is_help=True, help="Content templates for buttons and lists.")
app.add_typer(faq_app, name="faq")
app.add_typer(staff_app, name="staff")
app.add_typer(receivers_app, name="receivers")
app.add_typer(audit_app, name="audit")
app.add_typer(retention_app, name="retention")
app.add_typer(whatsapp_app, name="whatsapp")
whatsapp_app.add_typer(templates_app, name="templates")
app.add_typer(broadcast_app, name="broadcast")
cli_vault.register(app)


class Failed(Exception):
    """A command cannot be done; the message is the one line that the operator reads."""


def settings() -> Settings:
    """The settings; one sentence for each that is wrong."""
    from pydantic import ValidationError

    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors(include_input=False, include_url=False))
        raise Failed(f"A setting is wrong. {wrong}") from None


@contextlib.contextmanager
def opened(*, claim: bool = False, checked: bool = True) -> Iterator[Any]:
    """The program put together without being started, for commands that work on its data."""
    from bot.main import build
    from storage.schema import check

    netra = build(settings(), claim=claim)
    try:
        if checked:
            check(netra.store.engine)
        yield netra
    finally:
        netra.cleaner.close()
        netra.store.close()


# --- running -----------------------------------------------------------------------------------------------------------------


@app.command()
def run() -> None:
    """Run everything in one program: web chat, panel, Telegram and WhatsApp where they are set up."""
    _serve(panel=True, pages=True, migrate_first=True)


@app.command()
def web() -> None:
    """Run a web replica: the public pages and webhooks (on PostgreSQL, several may run)."""
    _serve(panel=False, pages=True, migrate_first=False)


@app.command()
def worker() -> None:
    """Run a worker: the panel, broadcasts, Telegram by polling, tidying up (on PostgreSQL, several may run; one of them leads)."""
    _serve(panel=True, pages=False, migrate_first=False)


def _serve(*, panel: bool, pages: bool, migrate_first: bool) -> None:
    gc.disable()  # what is imported and built now lives until the end: looking for garbage in it only costs
    from bot.logs import set_up
    from bot.main import build

    known = settings()
    set_up(as_json=known.env == "production")
    if migrate_first:
        _migrate(known)
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
    from bot.main import running
    from storage.schema import check
    from storage.staff import ensure_first

    check(netra.store.engine)
    first = None
    if netra.settings.env != "production":
        first = await netra.store.write(lambda connection: ensure_first(connection, netra.settings.clock))
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, netra.stopping.set)
    async with running(netra, panel=panel, pages=pages) as (public_url, panel_url):
        typer.echo(f"Netra is running ({netra.settings.env}).")
        if public_url:
            typer.echo(f"  Web chat:  {public_url}/chat   (start page: {public_url}/)")
        if panel_url:
            typer.echo(f"  Panel:     {panel_url}/")
        pushed = [name for name in netra.channels if name != "web_chat"]
        typer.echo(f"  Channels:  web chat{''.join(', ' + name for name in pushed)}")
        if first is not None:
            typer.echo("  First staff login (shown only now, write it down):")
            typer.echo(f"    name:       {first[0]}")
            typer.echo(f"    passphrase: {first[1]}")
        typer.echo("Stop with Ctrl+C.")
        sys.stdout.flush()
        await netra.stopping.wait()
        typer.echo("Stopping ...")


def _migrate(known: Settings) -> None:
    from storage.schema import latest, migrate, up_to_date
    from storage.store import connect

    engine = connect(known.url())
    try:
        with engine.connect() as connection:
            done = up_to_date(connection)
        if not done:
            migrate(engine)
    finally:
        engine.dispose()
    assert latest()


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date (the release step of the Procfile)."""
    _migrate(settings())
    typer.echo("The schema is up to date.")


@app.command()
def chat(english: Annotated[bool, typer.Option("--english", help="Begin in English.")] = False) -> None:
    """The same conversations in the terminal. A line "@photo.jpg" sends a photo; end with Ctrl+D."""
    from bot.channels.console import Console
    from bot.logs import set_up
    from bot.main import build

    known = settings()
    set_up(as_json=True)
    _migrate(known)
    console = Console()
    netra = build(known, claim=False, channels=[console])

    async def read() -> str | None:
        try:
            return await asyncio.to_thread(input, "\n> ")
        except EOFError:
            return None

    async def talk() -> None:
        import logging

        import structlog

        from storage.staff import ensure_first

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        if known.env != "production":
            first = await netra.store.write(lambda connection: ensure_first(connection, known.clock))
            if first is not None:
                typer.echo(f"First staff login (shown only now): {first[0]} / {first[1]}\n")
        await netra.worker.start()
        await console.run(
            netra.worker.handle, read, lambda words: typer.echo("\n" + words), netra.worker.collected, "en" if english else "id"
        )
        await netra.worker.stop()

    try:
        asyncio.run(talk())
    finally:
        netra.cleaner.close()
        netra.store.close()


# --- the self-check ------------------------------------------------------------------------------------------------------------


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, or - for one question a line on standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per question.")] = False,
    on: Annotated[str, typer.Option("--date", help="The day asked about, YYYY-MM-DD; today when left out.")] = "",
) -> None:
    """Ask "boleh tidak saya ...?" from the shell."""
    from faq.match import Faq

    day = _day(on) or settings().clock().date()
    faq = Faq.load()
    questions = (line.rstrip("\n") for line in sys.stdin) if question == "-" else iter([question])
    for one in questions:
        found = faq.ask(one, day)
        if as_json:
            typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            _print_found(faq, found)


def _day(words: str) -> date | None:
    if not words:
        return None
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise Failed("The date must be written YYYY-MM-DD, for example 2024-11-25.") from None


def _print_found(faq: Any, found: Any) -> None:
    if found.outcome == "answer":
        for known in found.entries:
            entry = faq.entries[known]
            typer.echo(f"{entry.title}: {entry.verdict.upper()}")
            typer.echo(entry.short)
            for basis in entry.basis:
                typer.echo(f"  {basis.regulation} {basis.article}: {basis.says}")
    elif found.outcome == "choose":
        typer.echo("Maksud Anda yang mana?")
        for candidate in found.candidates:
            typer.echo(f"  {candidate.entry}: {candidate.title}")
    elif found.outcome == "report":
        typer.echo("Ini laporan atas perbuatan orang lain: pakai menu Lapor tanpa nama.")
    else:
        typer.echo(found.redirect.reply if found.redirect else "Belum ada jawaban yang pasti untuk pertanyaan itu.")


@faq_app.command("check")
def faq_check() -> None:
    """Every entry complete and consistent."""
    from faq.check import check

    problems = check()
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise Failed(f"{len(problems)} problems in the FAQ.")
    typer.echo("Every entry is complete and consistent.")


@faq_app.command("changes")
def faq_changes(
    before: Annotated[Path, typer.Argument(help="Folder with the entries as they were.")],
    after: Annotated[Path | None, typer.Argument(help="Folder with the entries as they are; the shipped ones when left out.")] = None,
) -> None:
    """Which verdicts, sanctions and conditions changed between two states of the entries."""
    from faq.entries import ENTRIES, load_entries
    from faq.versions import compare

    for folder in (before, after or ENTRIES):
        if not folder.is_dir():
            raise Failed(f"There is no folder {folder}.")
    for change in compare(load_entries(before), load_entries(after or ENTRIES)):
        typer.echo(f"{change.entry}\t{change.what}\t{change.before} -> {change.after}")


@faq_app.command("versions")
def faq_versions(
    write: Annotated[bool, typer.Option("--write", help="Record the changes with today's date.")] = False,
    before: Annotated[Path | None, typer.Option("--before", help="Folder with the earlier entries, to say what changed.")] = None,
) -> None:
    """Which answers changed in substance since they were recorded; with --write, record it."""
    from faq.entries import load_entries
    from faq.versions import load_versions, renewed, stale, write_versions

    entries, known = load_entries(), load_versions()
    changed = stale(entries, known)
    for name in changed:
        typer.echo(name)
    if not write and changed:
        raise Failed(f"{len(changed)} answers changed: record it with `netra faq versions --write`.")
    if write:
        earlier = load_entries(before) if before else None
        write_versions(renewed(entries, known, settings().clock().date(), earlier))
    typer.echo("Every answer is recorded.")


@faq_app.command("eval")
def faq_eval(
    file: Annotated[Path, typer.Argument(help="TSV with the columns question, expected, register.")],
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> None:
    """Measure the self-check on a set of questions."""
    from faq.evaluate import evaluate
    from faq.match import Faq

    if not file.exists():
        raise Failed(f"There is no file {file}.")
    report = evaluate(Faq.load(), file)
    typer.echo(json.dumps(report.to_json(), ensure_ascii=False) if as_json else report.to_text())


@faq_app.command("train")
def faq_train() -> None:
    """Train the matcher from the entries and phrasings (needs the development requirements)."""
    try:
        from faq.train import train
    except ImportError:
        raise Failed("Training needs the development requirements: pip install --require-hashes -r requirements-dev.txt") from None
    for name, figure in train().items():
        typer.echo(f"{name}: {figure}")


# --- staff ------------------------------------------------------------------------------------------------------------------------


@staff_app.command("add")
def staff_add(
    name: Annotated[str, typer.Argument(help="Login name.")],
    role: Annotated[
        list[str], typer.Option("--role", help="reviewer, verifier, broadcaster, approver, auditor or admin; may be repeated.")
    ],
) -> None:
    """Add an account; its generated passphrase is printed once."""
    from storage.staff import Refused, add, new_passphrase

    with opened() as netra:
        passphrase = new_passphrase()
        try:
            netra.store.write_now(lambda connection: add(connection, name, role, "", passphrase))
        except Refused as refused:
            raise Failed(f"The account was not added: {refused.reason}.") from None
        netra.store.write_now(lambda connection: netra.audits.add(connection, "system", "staff-added", name))
    typer.echo(f"name:       {name}\npassphrase: {passphrase}")


@staff_app.command("list")
def staff_list() -> None:
    """All accounts."""
    from storage.staff import listed

    with opened() as netra:
        for account in netra.store.read_now(listed):
            typer.echo(f"{account.name}\t{account.state}\t{','.join(sorted(account.roles))}")


@receivers_app.command("list")
def receivers_list() -> None:
    """The accounts to which tips are sealed."""
    from storage.staff import receivers

    with opened() as netra:
        for account in netra.store.read_now(receivers):
            typer.echo(f"{account.name}\t{account.state}\t{account.group_id}")


@audit_app.command("verify")
def audit_verify(head: Annotated[str, typer.Option("--head", help="A published head, as `netra audit head` printed it.")] = "") -> None:
    """Check the chain of staff actions, and that it reaches a published head."""
    from storage.audit import Head

    try:
        published = [Head.parse(head)] if head else []
    except ValueError:
        raise Failed("That is not a line that `netra audit head` printed.") from None
    with opened() as netra:
        result = netra.store.read_now(lambda connection: netra.audits.verify(connection, published))
    if not result.whole:
        raise Failed(f"The audit log was changed: {result.fault} at row {result.at}.")
    typer.echo("The audit log is whole.")


@audit_app.command("head")
def audit_head() -> None:
    """The signed end of the chain, to be published outside the system."""
    with opened() as netra:
        head = netra.store.write_now(netra.audits.head)
    typer.echo(head.text if head else "The log is empty.")


@retention_app.command("run")
def retention_run() -> None:
    """Delete what is past its time: keys first, then contents."""
    from bot.main import tidy

    with opened() as netra:
        for name, number in tidy(netra).items():
            typer.echo(f"{name}: {number}")
        netra.store.vacuum()


@templates_app.command("sync")
def templates_sync() -> None:
    """Make the Content templates for buttons and lists, once."""
    known = settings()
    if not known.twilio_account_sid:
        raise Failed("WhatsApp is off: TWILIO_ACCOUNT_SID is not set.")
    from bot.main import platforms

    async def sync() -> int:
        channel: Any = next(one for one in platforms(known) if one.name == "whatsapp")
        try:
            return int(await channel.sync_templates())
        finally:
            await channel.stop()

    typer.echo(f"{asyncio.run(sync())} templates are ready.")


@app.command()
def selftest() -> None:
    """Print every stored field with its purpose and life; check keys, decoder, process and files. Fails when anything is amiss."""
    from bot.main import harden
    from bot.selftest import checks, fields

    harden()
    for name, purpose, life in fields():
        typer.echo(f"{name}\t{purpose}\t{life}")
    bad = 0
    for check in checks(settings()):
        typer.echo(f"{'FAILED' if check.wrong else 'ok'}\t{check.name}{f': {check.wrong}' if check.wrong else ''}")
        bad += bool(check.wrong)
    if bad:
        raise Failed(f"{bad} checks failed.")


@app.command()
def doctor() -> None:
    """What works and what does not, one line each."""
    from bot.main import platforms, ready

    known = settings()
    bad = 0
    for problem in known.problems():
        typer.echo(f"settings: {problem}")
        bad += 1

    async def look() -> dict[str, str]:
        lines: dict[str, str] = {}
        with opened(claim=False) as netra:
            lines.update(await ready(netra))
        for channel in platforms(known):
            try:
                lines[channel.name] = await channel.check() or "ok"
            finally:
                await channel.stop()
        return lines

    if not bad:
        for name, state in asyncio.run(look()).items():
            typer.echo(f"{name}: {state}")
            bad += state != "ok"
        free = os.statvfs(known.data_dir)
        gigabytes = free.f_bavail * free.f_frsize / 1e9
        typer.echo(f"disk: {'ok' if gigabytes > 2 else f'only {gigabytes:.1f} GB free: photos are refused below 2 GB'}")
    if bad:
        raise Failed(f"{bad} things need attention.")


def main() -> None:
    """Run the command; a failure is one line on standard error and a non-zero exit."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.logs import where
    from faq.entries import BadEntry
    from storage.schema import Outdated
    from storage.store import AlreadyRunning

    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
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
    typer.echo("netra: " + " ".join(line.split()), err=True)
    raise SystemExit(code)
