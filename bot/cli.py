"""The `netra` command. Every subcommand has --help and ends with one clear line on standard error when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import cli_vault
from bot.broadcast_cli import app as broadcast_app
from bot.serve import Failed, bring_up_to_date, ends, serve, settings

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
    serve(panel=True, pages=True, migrate_first=True)


@app.command()
def web() -> None:
    """Run a web replica: the public pages and webhooks (on PostgreSQL, several may run)."""
    serve(panel=False, pages=True, migrate_first=False)


@app.command()
def worker() -> None:
    """Run a worker: the panel, broadcasts, Telegram by polling, tidying up (on PostgreSQL, several may run; one of them leads)."""
    serve(panel=True, pages=False, migrate_first=False)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date (the release step of the Procfile)."""
    bring_up_to_date(settings())
    typer.echo("The schema is up to date.")


@app.command()
def chat(english: Annotated[bool, typer.Option("--english", help="Begin in English.")] = False) -> None:
    """The same conversations in the terminal. A line "@photo.jpg" sends a photo; end with Ctrl+D."""
    from bot.channels.console import Console
    from bot.logs import set_up
    from bot.main import build

    known = settings()
    set_up(as_json=True)
    bring_up_to_date(known)
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

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        if known.env != "production":
            first = await netra.store.write(netra.accounts.ensure_first)
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


WHY_NOT = {
    "name_form": "a login name has 2 to 40 characters: lower-case letters, digits, dot, dash or underscore",
    "name_taken": "that login name is taken",
    "roles": "the roles are reviewer, verifier, broadcaster, approver, auditor and admin",
    "no_group": "there is no such team: `netra staff teams` lists them",
    "team_form": "a team's name has 3 characters or more, and its region looks like 18, 18.07 or 18.07.01",
    "team_taken": "there is a team of that name",
    "last_receivers": "its team would be left with fewer than two receivers: add one first",
    "no_account": "there is no such account",
}
"""Why something about accounts is not done, for the operator."""


def _change(job: Any) -> Any:
    """What a change of accounts gives; a refusal is one clear sentence."""
    from storage.staff import Refused

    with opened() as netra:
        try:
            return netra.store.write_now(lambda connection: job(netra, connection))
        except Refused as refused:
            raise Failed(f"Nothing was changed: {WHY_NOT.get(refused.reason, refused.reason)}.") from None


@staff_app.command("add")
def staff_add(
    name: Annotated[str, typer.Argument(help="Login name: 2 to 40 lower-case letters, digits, dots, dashes or underscores.")],
    role: Annotated[
        list[str], typer.Option("--role", help="reviewer, verifier, broadcaster, approver, auditor or admin; may be repeated.")
    ],
    group: Annotated[
        str, typer.Option("--group", help="Name of the team, as `netra staff teams` lists it; left out: the central team.")
    ] = "",
) -> None:
    """Add an account; its generated passphrase is printed once.

    The second factor is set up at the first login: a security key for broadcaster, approver and admin in production, else an
    authenticator app or a key. Reviewers and verifiers read tips: after the founding day they wait for the approval of a receiver and of
    an auditor, and 24 hours, as in the panel.
    """
    from storage.staff import WAITING, new_passphrase

    passphrase = new_passphrase()

    def add(netra: Any, connection: Any) -> Any:
        account = netra.accounts.add(connection, name, role, group, passphrase)
        netra.audits.add(connection, "system", "staff-added", account.name, ",".join(sorted(account.roles)))
        return account

    account = _change(add)
    typer.echo(f"name:       {account.name}\npassphrase: {passphrase}")
    if account.state == WAITING:
        typer.echo(
            "This account reads no tips until a receiver and an auditor approve it in the panel, and not before 24 hours have passed."
        )


@staff_app.command("list")
def staff_list() -> None:
    """All accounts: login name, state, roles, team and second factors, one line each."""
    from storage.security_keys import keys_of
    from storage.staff import listed, teams

    def look(connection: Any) -> list[str]:
        names = {team.id: team.name for team in teams(connection)}
        lines = []
        for account in listed(connection):
            keys = len(keys_of(connection, account.id))
            factors = (
                ", ".join(filter(None, ("app" if account.totp else "", f"{keys} security keys" if keys else ""))) or "no second factor"
            )
            team = names.get(account.group_id or 0, "-")
            lines.append(f"{account.name}\t{account.state}\t{','.join(sorted(account.roles))}\t{team}\t{factors}")
        return lines

    with opened() as netra:
        for line in netra.store.read_now(look):
            typer.echo(line)


@staff_app.command("teams")
def staff_teams() -> None:
    """All teams: name and the region they answer for (Kemendagri code; - for the central team)."""
    from storage.staff import teams

    with opened() as netra:
        for team in netra.store.read_now(teams):
            typer.echo(f"{team.name}\t{team.region or '-'}")


@staff_app.command("add-team")
def staff_add_team(
    name: Annotated[str, typer.Argument(help="Name of the team.")],
    region: Annotated[
        str, typer.Option("--region", help="Kemendagri code it answers for, such as 18 or 18.07; left out: every region.")
    ] = "",
) -> None:
    """Add a team: tips of its region are sealed to its receivers, as soon as it has some."""
    from storage.staff import add_team

    def make(netra: Any, connection: Any) -> None:
        netra.audits.add(connection, "system", "team_added", str(add_team(connection, name, region)))

    _change(make)
    typer.echo(f"The team {name} was added. Add its receivers with: netra staff add NAME --role reviewer --group '{name}'")


@staff_app.command("reset-factor")
def staff_reset_factor(name: Annotated[str, typer.Argument(help="Login name.")]) -> None:
    """Forget the second factors of somebody who lost them: app and security keys. Their sessions end; the next login sets up anew.

    The passphrase stays. Make sure on another way that it is this person who asks; the step stands in the audit log.
    """

    def reset(netra: Any, connection: Any) -> int:
        account = cli_vault.account_named(connection, name)
        keys = netra.accounts.reset_factor(connection, account.id)
        netra.audits.add(connection, "system", "factor_reset", account.name, str(keys))
        return int(keys)

    keys = _change(reset)
    typer.echo(f"{name} has no second factor now ({keys} security keys forgotten); the next login asks for a new one.")


@staff_app.command("remove")
def staff_remove(name: Annotated[str, typer.Argument(help="Login name.")]) -> None:
    """Take an account away: its seals, sessions, keys and place in the signed list go at once. Not the last but one receiver of a team."""

    def remove(netra: Any, connection: Any) -> None:
        account = cli_vault.account_named(connection, name)
        netra.accounts.remove(connection, account.id)
        netra.audits.add(connection, "system", "account_removed", account.name)

    _change(remove)
    typer.echo(f"{name} was removed.")


@receivers_app.command("list")
def receivers_list() -> None:
    """The accounts to which tips are sealed: login name, state, team, key's fingerprint, and who signed for them."""
    from storage.staff import receivers

    def look(connection: Any) -> list[str]:
        known = netra.accounts.receivers
        lines = []
        for account in receivers(connection):
            entry = known.entry(connection, account)
            signed = "NOT SIGNED: nothing is sealed to it" if entry is None else ", ".join(entry.approved_by) or "founding"
            lines.append(f"{account.name}\t{account.state}\t{account.group_id}\t{account.public_key.hex()[:16]}\t{signed}")
        return lines

    with opened() as netra:
        for line in netra.store.read_now(look):
            typer.echo(line)


@receivers_app.command("check")
def receivers_check() -> None:
    """Check the signed list: its signatures, that nobody reads who is not in it, and that it is the one on record in the audit log."""
    with opened() as netra:
        state = netra.store.read_now(netra.accounts.receivers.state)
        if state != "ok":
            raise Failed(f"The list of receivers needs attention: {state}.")
        found = netra.store.read_now(netra.accounts.receivers.read)
        typer.echo(f"The list is whole: {len(found.receivers)} receivers, version {found.version}, {found.digest}.")
        typer.echo(f"Its key: {netra.accounts.receivers.public_key.hex()}")


@receivers_app.command("sign")
def receivers_sign(
    yes: Annotated[bool, typer.Option("--yes", help="Sign: I know each of these people, and compared each fingerprint.")] = False,
) -> None:
    """Make the signed list anew out of the receivers and auditors as they stand, when it is missing or was changed.

    Without --yes it only shows whom the list would hold. The step stands in the audit log.
    """
    from storage.staff import listed

    with opened() as netra:
        if netra.store.read_now(netra.accounts.receivers.state) == "ok":
            raise Failed("The list of receivers is whole: there is nothing to sign.")
        for account in netra.store.read_now(listed):
            if account.receives or "auditor" in account.powers:
                roles = ",".join(sorted(account.roles))
                typer.echo(f"{account.name}\t{account.group_id}\t{account.public_key.hex()[:16]}\t{roles}\tsince {account.since}")
        if not yes:
            raise Failed("Nothing was signed. Compare each line with its person, remove who is unknown, then add --yes.")

        def sign(connection: Any) -> None:
            netra.audits.add(connection, "system", "receivers_refounded")
            netra.accounts.receivers.refound(connection)

        netra.store.write_now(sign)
    typer.echo("The list is signed.")


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
    from bot.running import tidy

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
    from bot.platforms import platforms

    async def sync() -> Any:
        from bot.channels.limits import SendError

        channel: Any = next(one for one in platforms(known) if one.name == "whatsapp")
        try:
            return await channel.sync_templates()
        except SendError as error:
            raise Failed(await channel.check() or f"Twilio does not take templates now ({error}): try again later.") from None
        finally:
            await channel.stop()

    done = asyncio.run(sync())
    typer.echo(f"{done.there + done.made} templates are ready, {done.made} of them new.")
    if done.refused:
        raise Failed(f"Twilio refused {done.refused} templates; those choices are shown as numbers.")


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
    from bot.platforms import platforms

    known = settings()
    bad = 0
    for problem in known.problems():
        typer.echo(f"settings: {problem}")
        bad += 1

    async def look() -> dict[str, str]:
        lines: dict[str, str] = {}
        with opened(claim=False) as netra:
            lines |= (await netra.health.look()).parts
            lines["receivers"] = await netra.store.read(netra.accounts.receivers.state)
            try:
                netra.faq.warm()
                lines["answers"] = "ok"
            except (OSError, ValueError) as error:
                lines["answers"] = f"{type(error).__name__}: run `netra faq check`"
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

    def command() -> object:
        try:
            return app(standalone_mode=False)
        except typer.Abort:
            raise KeyboardInterrupt from None

    ends(command)
