"""Every setting once: its name, its default, what it is for, and whether it is a secret.

`.env.example` is this file's `example()`: `python -m bot.settings > .env.example` writes it, a test compares it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Jakarta")


SECRET_AT_LEAST = 16
DEFAULTS = frozenset({"changeme", "change-me", "secret", "password", "token", "test", "example", "xxx", "todo"})
"""Values that stand in examples and are nobody's secret."""


def poor(secret: str) -> bool:
    """Whether a secret is short, from an example, or hardly random."""
    return len(secret) < SECRET_AT_LEAST or secret.lower().strip("<>") in DEFAULTS or len(set(secret)) < 6


class BadSetting(ValueError):
    """A value that its setting cannot have. The message names the setting, never the value: it may be a secret in the wrong place."""


YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the environment variable, its default, what it is for, whether it is a secret, and how its text is read."""

    name: str
    default: Any
    purpose: str
    secret: bool
    read: Callable[[str], Any]

    def value(self, given: Any) -> Any:
        """The value that a text stands for; what is no text is the value itself. Raises `BadSetting`."""
        if not isinstance(given, str):
            return given
        if not given and not isinstance(self.default, str):
            return self.default
        try:
            return self.read(given)
        except ValueError as reason:
            raise BadSetting(f"{self.name}: {reason if isinstance(reason, BadSetting) else 'this is no value for it'}") from None


def setting(name: str, default: Any, purpose: str, *, secret: bool = False, read: Callable[[str], Any] | None = None) -> Any:
    """A setting read from the environment variable `name`; without a reader it is read as what its default is."""
    return Setting(name, default, purpose, secret, read or _reader(default))


def _reader(default: Any) -> Callable[[str], Any]:
    if isinstance(default, bool):
        return _yes_no
    if isinstance(default, int):
        return _number
    return Path if isinstance(default, Path) else str


def one_of(*values: str) -> Callable[[str], str]:
    """Reads one of these words."""

    def read(given: str) -> str:
        if given not in values:
            raise BadSetting(f"must be {' or '.join(values)}")
        return given

    return read


def _number(given: str) -> int:
    if not given.strip().isdecimal():
        raise BadSetting("must be a whole number")
    return int(given)


def _yes_no(given: str) -> bool:
    if given.lower() not in YES | NO:
        raise BadSetting("must be true or false")
    return given.lower() in YES


class Settings:
    """What an operator can set, in the environment or in a file `.env`."""

    env: Literal["practice", "production", "test"] = setting(
        "NETRA_ENV", "practice", "practice, production or test", read=one_of("practice", "production", "test")
    )
    data_dir: Path = setting("NETRA_DATA_DIR", Path("data"), "folder of the database")
    keys_dir: Path = setting("NETRA_KEYS_DIR", Path("keys"), "folder of the long-lived keys; never in the same backup as the data")
    run_dir: Path | None = setting(
        "NETRA_RUN_DIR", None, "folder of the draft keys, on a tmpfs; empty: one is chosen in shared memory", read=Path
    )
    database_url: str = setting("NETRA_DATABASE_URL", "", "postgresql+psycopg://...; empty: DATABASE_URL, else SQLite in the data folder")
    public_url: str = setting("NETRA_PUBLIC_URL", "", "address under which people reach this server, https://...")
    host: str = setting("NETRA_HOST", "127.0.0.1", "address of the public listener")
    port: int = setting("PORT", 8080, "port of the public listener")
    panel_host: str = setting("NETRA_PANEL_HOST", "127.0.0.1", "address of the panel's listener; keep it on loopback, a VPN or Tor")
    panel_port: int = setting("NETRA_PANEL_PORT", 8081, "port of the panel's listener")
    panel_url: str = setting(
        "NETRA_PANEL_URL", "", "address under which staff open the panel, https://...; security keys are bound to it; empty: localhost"
    )
    metrics_port: int = setting("NETRA_METRICS_PORT", 0, "port of /metrics where no panel runs (`netra web`); 0: none")
    election: str = setting("NETRA_ELECTION", "", "name of the election in faq/calendar.toml; empty: its default")
    now: datetime | None = setting(
        "NETRA_NOW", None, "fixed time for tests (ISO 8601); only with NETRA_ENV=test", read=datetime.fromisoformat
    )
    telegram_token: str = setting("TELEGRAM_TOKEN", "", "token from BotFather; empty: Telegram is off", secret=True)
    telegram_api_url: str = setting("TELEGRAM_API_URL", "https://api.telegram.org", "scheme and host of the Bot API")
    telegram_mode: Literal["polling", "webhook"] = setting(
        "TELEGRAM_MODE", "polling", "polling or webhook", read=one_of("polling", "webhook")
    )
    telegram_webhook_secret: str = setting("TELEGRAM_WEBHOOK_SECRET", "", "1 to 256 characters A-Z a-z 0-9 _ -", secret=True)
    telegram_paid_broadcasts: bool = setting(
        "TELEGRAM_PAID_BROADCASTS", False, "send broadcasts at up to 1,000 a second, paid in Stars (needs BotFather's consent)"
    )
    broadcast_links: str = setting(
        "NETRA_BROADCAST_LINKS",
        "bawaslu.go.id,kpu.go.id,bkn.go.id,menpan.go.id,kemendagri.go.id,lapor.go.id",
        "domains to which broadcasts may link, separated by commas",
    )
    twilio_account_sid: str = setting("TWILIO_ACCOUNT_SID", "", "account of the WhatsApp sender; empty: WhatsApp is off")
    twilio_auth_token: str = setting("TWILIO_AUTH_TOKEN", "", "primary auth token: it signs webhooks", secret=True)
    twilio_whatsapp_from: str = setting("TWILIO_WHATSAPP_FROM", "", "sender, whatsapp:+62...")
    twilio_api_url: str = setting("TWILIO_API_URL", "https://api.twilio.com", "scheme and host of Twilio's API")
    twilio_media_hosts: str = setting("TWILIO_MEDIA_HOSTS", "api.twilio.com", "hosts from which photos are fetched, separated by commas")

    def __init__(self, _env_file: str | None = ".env", **given: Any) -> None:
        """Read every setting: from `given` by its variable's name, else the environment, else the file. Raises `BadSetting`."""
        sources = (given, os.environ, _in_file(_env_file))
        wrong: list[str] = []
        for field, known in self.fields().items():
            found = next((source[known.name] for source in sources if known.name in source), known.default)
            try:
                setattr(self, field, known.value(found))
            except BadSetting as error:
                wrong.append(str(error))
        if wrong:
            raise BadSetting("; ".join(wrong))

    @classmethod
    def fields(cls) -> dict[str, Setting]:
        """Every setting by the attribute that holds its value, in order."""
        return {field: known for field, known in vars(cls).items() if isinstance(known, Setting)}

    def url(self) -> str:
        """The database's address."""
        url = self.database_url or os.environ.get("DATABASE_URL", "")
        if url.startswith("postgres://"):
            url = "postgresql+psycopg://" + url.removeprefix("postgres://")
        elif url.startswith("postgresql://"):
            url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
        return url or f"sqlite:///{(self.data_dir / 'netra.db').absolute()}"

    def runtime_dir(self) -> Path:
        """The folder of the draft keys: the one that is set, else one in shared memory of this user and data folder."""
        if self.run_dir is not None:
            return self.run_dir
        shared = Path(os.environ.get("XDG_RUNTIME_DIR", "/dev/shm"))  # noqa: S108 - a tmpfs on purpose
        name = f"netra-{os.getuid()}-{abs(hash_of(str(self.data_dir.absolute()))):x}"
        return (shared if shared.is_dir() else self.data_dir / "run") / name

    def clock(self) -> datetime:
        """The time it is where the election is held; the fixed time in tests."""
        if self.now is not None and self.env == "test":
            return self.now if self.now.tzinfo else self.now.replace(tzinfo=ZONE)
        return datetime.now(ZONE)

    def poor_secrets(self) -> list[str]:
        """The names of the secrets that are set and are none."""
        found = []
        for field, known in self.fields().items():
            value = str(getattr(self, field))
            if known.secret and value and poor(value):
                found.append(known.name)
        return found

    def problems(self) -> list[str]:
        """What keeps this configuration from being safe, one sentence each; the program does not start with any."""
        found = []
        if self.now is not None and self.env != "test":
            found.append("NETRA_NOW is only allowed with NETRA_ENV=test.")
        if self.telegram_token and self.telegram_mode == "webhook":
            if len(self.telegram_webhook_secret) < 16:
                found.append("TELEGRAM_WEBHOOK_SECRET is missing or short: set at least 16 random characters.")
            elif not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", self.telegram_webhook_secret):
                found.append("TELEGRAM_WEBHOOK_SECRET may hold only A-Z a-z 0-9 _ - and at most 256 of them.")
            if not self.public_url:
                found.append("NETRA_PUBLIC_URL is needed for Telegram's webhook.")
        if self.twilio_account_sid:
            for name, value in (("TWILIO_AUTH_TOKEN", self.twilio_auth_token), ("TWILIO_WHATSAPP_FROM", self.twilio_whatsapp_from)):
                if not value:
                    found.append(f"{name} is missing; without it WhatsApp cannot work.")
            if not self.public_url:
                found.append("NETRA_PUBLIC_URL is needed to check Twilio's signatures.")
        if self.env == "production":
            if not self.public_url.startswith("https://"):
                found.append("NETRA_PUBLIC_URL must begin with https:// in production.")
            if self.run_dir is None:
                found.append("NETRA_RUN_DIR must name a folder on a tmpfs in production.")
            found += [f"{name} is short or stands in examples: set a real secret." for name in self.poor_secrets()]
            if Path(".env").is_file() and Path(".env").stat().st_mode & 0o077:
                found.append("The file .env can be read by others: set its mode to 0600.")
        return found


def _in_file(path: str | None) -> Mapping[str, str | None]:
    if path is None or not Path(path).is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value or "" for name, value in dotenv_values(path).items()}


def hash_of(text: str) -> int:
    """A small number that stays the same between runs."""
    import zlib

    return zlib.crc32(text.encode())


def described() -> list[tuple[str, str, str, bool]]:
    """Name, default, purpose and secrecy of every setting, in order."""
    return [
        (known.name, "" if known.default is None else str(known.default), known.purpose, known.secret)
        for known in Settings.fields().values()
    ]


def example() -> str:
    """The text of `.env.example`: every setting with its purpose, commented out with its default."""
    lines = ["# Settings of Netra. Copy to .env, take the # away where you change something, and set the file's mode to 0600."]
    for name, default, purpose, secret in described():
        lines += ["", f"# {purpose}{' (secret)' if secret else ''}", f"# {name}={default}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(example())
