"""The platforms that the settings name, each with its words, as channels."""

from __future__ import annotations

from bot.channels import Channel
from bot.imports import without
from bot.settings import Settings
from bot.texts import Texts
from bot.work import TooMany
from storage.erasures import ErasureNotes
from storage.store import Store

COMMANDS = ("start", "lapor", "tanya", "cek", "kuis", "pakta", "langganan", "berhenti", "privasi", "hapus", "bahasa", "bantuan", "batal")


def platforms(
    settings: Settings, store: Store | None = None, notes: ErasureNotes | None = None, texts: Texts | None = None
) -> list[Channel]:
    """The channels whose settings are there; each can be off. With a store, what Twilio is still to delete survives a restart."""
    texts = texts or Texts.load()
    found: list[Channel] = []
    if settings.telegram_token:
        with without(
            "click", "rich", "cryptography"
        ):  # httpx would load the first two for its command line, the library the last for passports
            from bot.channels.telegram import Telegram, Welcome

        found.append(
            Telegram(
                settings.telegram_token,
                api_url=settings.telegram_api_url,
                mode=settings.telegram_mode,
                secret=settings.telegram_webhook_secret,
                public_url=settings.public_url,
                commands=telegram_commands(texts),
                welcome={language: Welcome(**words) for language, words in telegram_welcome(texts).items()},
                busy=TooMany,
            )
        )
    if settings.twilio_account_sid:
        from bot.channels.whatsapp import WhatsApp
        from bot.channels.whatsapp_erasures import Erasure, nowhere

        async def remember(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write_joint(notes.remember_all, (erasure.message, erasure.media))

        async def forget(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write_joint(notes.forget_all, erasure.message)

        found.append(
            WhatsApp(
                settings.twilio_account_sid,
                settings.twilio_auth_token,
                settings.twilio_whatsapp_from,
                public_url=settings.public_url,
                api_url=settings.twilio_api_url,
                media_hosts=tuple(host.strip() for host in settings.twilio_media_hosts.split(",") if host.strip()),
                templates_file=settings.data_dir / "whatsapp_templates.json",
                list_button=texts.plain("id", "web.choices_button"),
                remember=remember if store else nowhere,
                forget_erasure=forget if store else nowhere,
            )
        )
    return found


def telegram_commands(texts: Texts) -> dict[str, list[tuple[str, str]]]:
    """The commands with their descriptions, by language."""
    return {
        language: [(name, texts.plain(language, f"commands.{name}")) for name in COMMANDS if texts.has(f"commands.{name}")]
        for language in ("id", "en")
    }


def telegram_welcome(texts: Texts) -> dict[str, dict[str, str]]:
    """What Telegram shows of the bot before /start, by language. The name stays the one that the operator gave it."""
    return {
        language: {part: texts.plain(language, f"welcome.{part}") for part in ("description", "short_description")}
        for language in ("id", "en")
    }
