"""The commands about keys, sealed files and backups. What they read that is secret comes from the terminal, or line by line from a pipe."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from storage.age import Recovery

keys_app = typer.Typer(no_args_is_help=True, help="Keys that are kept offline.")
proof_app = typer.Typer(no_args_is_help=True, help="Proofs of receipt.")


def register(app: typer.Typer) -> None:
    """Add these commands to the `netra` command."""
    app.add_typer(keys_app, name="keys")
    app.add_typer(proof_app, name="proof")
    app.command("open")(open_file)
    app.command("backup")(backup)
    app.command("restore")(restore)


def secret(prompt: str) -> str:
    """A secret, typed unseen; from a pipe, its next line."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{prompt}: ")
    return sys.stdin.readline().rstrip("\n")


def new_secret(prompt: str) -> str:
    """A new passphrase, typed twice at a terminal. Raises `Failed` when it is short."""
    from bot.serve import Failed
    from storage.staff import PASSPHRASE_AT_LEAST

    words = secret(prompt)
    if len(words) < PASSPHRASE_AT_LEAST:
        raise Failed(f"The passphrase needs at least {PASSPHRASE_AT_LEAST} characters.")
    if sys.stdin.isatty() and secret(f"{prompt} (again)") != words:
        raise Failed("The two passphrases differ.")
    return words


def halves() -> Recovery:
    """The recovery key out of its two halves, each typed by its holder."""
    from storage.age import Recovery

    return Recovery.joined(secret("First half"), secret("Second half"))


def account_named(connection: Any, name: str) -> Any:
    """The account with this login name; raises `Failed`."""
    from bot.serve import Failed
    from storage.staff import listed

    found = next((account for account in listed(connection) if account.name == name), None)
    if found is None:
        raise Failed(f"There is no account {name}.")
    return found


# --- on a laptop -------------------------------------------------------------------------------------------------------------------


def open_file(
    file: Annotated[Path, typer.Argument(help="An exported tip.")],
    key: Annotated[Path, typer.Option("--key", help="Your key file, as `netra keys export` wrote it.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder for the text and the photos.")],
) -> None:
    """Open an exported tip on your own laptop: text and photos into a folder. Needs no server and no network."""
    from bot.serve import Failed
    from storage.export import Unopened, open_export, private_key_of, write_out

    try:
        private_key = private_key_of(key.read_bytes(), secret("Passphrase"))
        written = write_out(open_export(file.read_bytes(), private_key), to)
    except Unopened as error:
        raise Failed(str(error)) from None
    for path in written:
        typer.echo(path)


@keys_app.command("recovery")
def keys_recovery() -> None:
    """Make a recovery pair, on a machine without network. The private half is printed once, in two halves for two people."""
    from storage.age import Recovery

    made = Recovery.new()
    first, second = made.halves()
    typer.echo("For the server (netra keys trust):")
    typer.echo(f"  {made.recipient}")
    typer.echo("For the first person, on paper, kept in one place:")
    typer.echo(f"  {first}")
    typer.echo("For the second person, on paper, kept in another place:")
    typer.echo(f"  {second}")
    typer.echo("Shown only now. One half alone opens nothing; both are needed for `netra keys recover` and `netra restore`.")


# --- on the server ------------------------------------------------------------------------------------------------------------------


@keys_app.command("trust")
def keys_trust(
    recipient: Annotated[str, typer.Argument(help="The public half, age1...")],
    verifier: Annotated[bool, typer.Option("--verifier", help="For originals alone, not for tips and backups.")] = False,
) -> None:
    """Seal to an offline key from now on: new tips, originals and backups; with --verifier originals alone."""
    from bot.cli import opened
    from bot.serve import Failed
    from storage.age import Unreadable, public_of

    try:
        public_of(recipient)
    except Unreadable as error:
        raise Failed(str(error)) from None
    with opened() as netra:
        path = netra.keys.folder / ("verifiers.pub" if verifier else "recovery.pub")
        if path.exists() and not verifier:
            raise Failed("A recovery key stands there already: remove recovery.pub from the keys folder first.")
        known = path.read_text("utf-8").split() if path.exists() else []
        path.write_text("\n".join([*known, recipient.strip().lower()]) + "\n", "utf-8")
        netra.store.write_now(lambda connection: netra.audits.add(connection, "system", "offline_key_trusted", recipient.strip().lower()))
    typer.echo("Trusted. Restart the program so that it seals to this key.")


@keys_app.command("recover")
def keys_recover(to: Annotated[str, typer.Option("--to", help="The receiver who gets the cases of their team.")]) -> None:
    """Give the cases of a team to a receiver with both halves of the recovery key, when nobody else can open them."""
    from bot.cli import opened
    from bot.serve import Failed
    from storage import grants
    from storage.age import Unreadable
    from storage.staff import Refused

    try:
        recovery = halves()
    except Unreadable as error:
        raise Failed(str(error)) from None
    with opened() as netra:
        account = netra.store.read_now(lambda connection: account_named(connection, to))
        count = failed = 0
        after: bytes | None = b""
        while after is not None:
            page = after
            try:
                done = netra.store.write_now(lambda connection, page=page: grants.recover(connection, recovery, account, after=page))
            except Refused:
                raise Failed(f"{to} is not an active receiver of a team.") from None
            count, failed, after = count + done.count, failed + done.failed, done.after
        netra.store.write_now(lambda connection: netra.audits.add(connection, "system", "recovered", to, str(count)))
    if failed and not count:
        raise Failed("These halves do not open the cases: they are of another recovery key.")
    typer.echo(f"{count} cases were given to {to}; {failed} are sealed to another recovery key.")


@keys_app.command("export")
def keys_export(
    name: Annotated[str, typer.Argument(help="The receiver's login name.")],
    to: Annotated[Path, typer.Option("--to", help="The key file; it exists nowhere else afterwards.")],
) -> None:
    """Take a receiver's private key off the server, once, into a file that their passphrase opens."""
    from bot.cli import opened
    from bot.serve import Failed
    from storage.export import key_file
    from storage.vault import write_once

    if to.exists():
        raise Failed(f"There is a file {to} already.")
    with opened() as netra:

        def take(connection: Any) -> bytes:
            found = key_file(connection, account_named(connection, name).id)
            if found is None:
                raise Failed(f"The key of {name} is not on this server any more.")
            write_once(to, found)
            netra.audits.add(connection, "system", "key_exported", name)
            return found

        netra.store.write_now(take)
        netra.store.scrub()
    typer.echo(f"{to} is the only copy. Give it to {name}, keep a second copy offline, and delete it here.")


@keys_app.command("team")
def keys_team(
    team: Annotated[str, typer.Argument(help="Name of the team.")],
    offline: Annotated[bool, typer.Option("--offline/--online", help="Cases are opened on laptops alone, or in the panel as well.")],
) -> None:
    """Choose whether the cases of a team are served only as sealed exports."""
    from sqlalchemy import update

    from bot.cli import opened
    from bot.serve import Failed
    from storage.models import Group

    with opened() as netra:

        def switch(connection: Any) -> int:
            netra.audits.add(connection, "system", "team_offline" if offline else "team_online", team)
            return int(connection.execute(update(Group).where(Group.name == team).values(offline=offline)).rowcount)

        if not netra.store.write_now(switch):
            raise Failed(f"There is no team {team}.")
    typer.echo("Its cases are opened on laptops alone." if offline else "Its cases are opened in the panel.")


# --- proofs ------------------------------------------------------------------------------------------------------------------------


@proof_app.command("verify")
def proof_verify(
    line: Annotated[str, typer.Argument(help="The line that begins with netra-bukti.")],
    key: Annotated[str, typer.Option("--key", help="The public key, as `netra proof key` prints it; empty: this server's.")] = "",
) -> None:
    """Check a proof of receipt: what it says, and that it was signed by this system."""
    from bot.serve import Failed
    from storage.proofs import BadProof, read

    try:
        proof = read(line, bytes.fromhex(key) if key else public_key())
    except (BadProof, ValueError) as error:
        raise Failed(str(error)) from None
    typer.echo(f"Signed. A tip named {proof.alias} came in on {proof.day.isoformat()}; its content has the mark {proof.content.hex()}.")


@proof_app.command("key")
def proof_key() -> None:
    """The public key by which anybody can check proofs and audit heads; publish it."""
    typer.echo(public_key().hex())


def public_key() -> bytes:
    """The public half of this server's signing key."""
    from nacl.signing import SigningKey

    from bot.serve import settings
    from storage.vault import Keys

    return bytes(SigningKey(Keys(settings().keys_dir).audit_signing).verify_key)


# --- backups ---------------------------------------------------------------------------------------------------------------------


def backup(
    to: Annotated[Path, typer.Option("--to", help="Folder of the backups.")],
    keys: Annotated[bool, typer.Option("--keys", help="The keys instead of the data, under a passphrase; keep them elsewhere.")] = False,
) -> None:
    """Write an encrypted backup: the data to the recovery key (older than 7 days are deleted), or the keys under a passphrase."""
    from bot.serve import Failed, settings
    from storage import backup as backups
    from storage.vault import Keys

    known = settings()
    try:
        if keys:
            typer.echo(backups.back_up_keys(known.keys_dir, to, new_secret("Passphrase for the keys"), known.clock()))
            return
        recipient = Keys(known.keys_dir).recovery
        if not recipient:
            raise Failed("There is no recovery key: make one offline with `netra keys recovery`, then `netra keys trust`.")
        database = database_of(known)
        if not database.exists():
            raise Failed("There is no database yet.")
        typer.echo(backups.back_up(database, to, recipient, known.runtime_dir(), known.clock()))
    except backups.Failed as error:
        raise Failed(str(error)) from None


def restore(file: Annotated[Path, typer.Argument(help="A backup of the data or of the keys.")]) -> None:
    """Bring a backup back into an empty data or keys folder."""
    from bot.serve import Failed, settings
    from storage import backup as backups
    from storage.age import Unreadable

    known = settings()
    try:
        if backups.holds_keys(file):
            names = backups.restore_keys(file, known.keys_dir, secret("Passphrase of the keys"))
            typer.echo(f"Restored the keys: {', '.join(names)}.")
        else:
            backups.restore(file, database_of(known), halves())
            typer.echo("Restored the data. Run `netra migrate`, then `netra retention run`: it deletes what is past its time by now.")
    except (backups.Failed, Unreadable) as error:
        raise Failed(str(error)) from None


def database_of(known: Any) -> Path:
    """The SQLite file; raises `Failed` on PostgreSQL."""
    from bot.serve import Failed

    url = str(known.url())
    if not url.startswith("sqlite:///"):
        raise Failed("On PostgreSQL pipe pg_dump into age instead: docs/vault.md says how.")
    return Path(url.removeprefix("sqlite:///"))
