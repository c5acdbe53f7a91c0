"""Whole conversations on Telegram and WhatsApp: the real program, real HTTP, the platforms played by strict fakes."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.channels import telegram
from bot.main import Netra, build
from bot.messages import Address, Outbound, Span
from bot.running import running
from bot.settings import Settings
from storage.schema import migrate
from storage.store import connect
from storage.vault import derive_passphrase
from tests.channels.fake_telegram import FakeTelegram
from tests.channels.fake_telegram import Person as TelegramPerson
from tests.channels.fake_twilio import FakeTwilio
from tests.channels.fake_twilio import Person as WhatsAppPerson
from tests.talk import PASSPHRASE

pytestmark = pytest.mark.anyio
CODE = re.compile(r"(?:\d{4} ){4}\d{4}")
STORY = "Camat membagikan stiker bergambar calon kepada pegawai di balai desa sesudah rapat pagi."


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, as the program."""
    return "asyncio"


def picture(shade: int) -> bytes:
    """A small JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (320, 240), (shade, 90, 120)).save(out, "JPEG")
    return out.getvalue()


@asynccontextmanager
async def started(folder: Path, **more: Any) -> AsyncIterator[tuple[Netra, str]]:
    """The program on free ports, with one receiver; its public address."""
    settings = Settings(
        _env_file=None,
        NETRA_ENV="test",
        NETRA_NOW="2024-11-18T10:00:00+07:00",
        NETRA_DATA_DIR=folder / "data",
        NETRA_KEYS_DIR=folder / "keys",
        NETRA_RUN_DIR=folder / "run",
        PORT=0,
        **more,
    )
    engine = connect(settings.url())
    migrate(engine)
    engine.dispose()
    netra = build(settings)
    try:
        netra.store.write_now(lambda connection: netra.accounts.add(connection, "penelaah", ["reviewer"], "", PASSPHRASE))
        async with running(netra, panel=False) as (public, _):
            yield netra, public
    finally:
        netra.cleaner.close()
        netra.store.close()


def opened(netra: Netra) -> list[Any]:
    """Every case, opened by the receiver."""
    from storage.staff import receivers
    from storage.vault import open_receiver_key

    def read(connection: Any) -> list[Any]:
        from sqlalchemy import select

        from storage.models import Staff

        row = connection.execute(select(Staff).where(Staff.id == receivers(connection)[0].id)).mappings().one()
        private = open_receiver_key(derive_passphrase(PASSPHRASE, row["salt"]), row["id"], row["public_key"], row["private_key"])
        listed = netra.cases.listed(connection, row["id"], private)
        return [netra.cases.by_seal(connection, row["id"], private, one.id) for one in listed]

    return netra.store.read_now(read)


async def tell(person: TelegramPerson, text: str) -> str:
    """Say something and hear the answer."""
    await person.says(text)
    return (await person.hears()).text


async def tap(person: TelegramPerson, label: str) -> str:
    """Press a button and hear the answer."""
    await person.taps(label)
    return (await person.hears()).text


async def test_a_whole_tip_on_telegram_with_an_album(tmp_path: Path) -> None:
    """An album of three photos counts as three, the code is protected, and the chat is wiped when it was written down."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, _):
        person = fake.person(4711)
        assert "Netra" in await tell(person, "/start")
        assert "Pelanggaran apa" in await tell(person, "/lapor")
        await tap(person, "Kampanye")
        await tap(person, "Atribut")
        await tell(person, "lamtim")
        await tap(person, "Kemarin")
        await tell(person, STORY)
        await tell(person, "Camat Way Jepara")
        for shade in (10, 20, 30):
            await person.sends_photo(picture(shade), group="album-1")
        assert "3" in (await person.hears()).text
        said = await tap(person, "Selesai")
        while "Periksa laporan" not in said:
            said = await tap(person, "Lewati" if "Lewati" in person.sees()[-1].labels else "Tidak")
        receipt = await tap(person, "Kirim")
        code = CODE.search(receipt)
        assert code
        shown = next(message for message in person.sees() if CODE.search(message.text))
        assert shown.protected
        await person.hears()
        await tell(person, code[0][-4:])
        await netra.worker.idle()
        assert not [message for message in person.sees() if CODE.search(message.text) or STORY in message.text]
        (case,) = opened(netra)
        assert case.tip["what"] == STORY
        assert case.head["photos"] == 3
        assert not fake.refusals


async def test_a_code_that_is_not_confirmed_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message with a receipt code leaves the chat after its time, whatever the person does; the other messages stay."""
    monkeypatch.setattr(telegram, "SECRET_SECONDS", 0.2)
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, _):
        person, channel = fake.person(4712), netra.channels["telegram"]
        await tell(person, "/start")
        address = Address("telegram", "4712")
        (plain,) = await channel.send(address, Outbound((Span("tanpa kode"),)))
        (secret,) = await channel.send(address, Outbound((Span("1234 5678 9012 3456 7890", "code"),), secret=True))
        assert {int(plain), int(secret)} <= set(person.chat.messages)
        while int(secret) in person.chat.messages:
            await asyncio.sleep(0.02)
        assert int(plain) in person.chat.messages


async def test_the_same_on_whatsapp_with_numbers_lists_and_buttons(tmp_path: Path) -> None:
    """Photos come one by one and end with SELESAI; choices are buttons, lists, or typed numbers."""
    async with (
        FakeTwilio() as fake,
        started(
            tmp_path,
            TWILIO_ACCOUNT_SID=fake.account_sid,
            TWILIO_AUTH_TOKEN=fake.auth_token,
            TWILIO_WHATSAPP_FROM=fake.sender,
            TWILIO_API_URL=fake.url,
            TWILIO_MEDIA_HOSTS="127.0.0.1",
            NETRA_PUBLIC_URL="http://bot.example",
        ) as (netra, public),
    ):
        fake.listen(public, public_url="http://bot.example")
        person: WhatsAppPerson = fake.person("whatsapp:ID.9f2c77ab01")

        async def tell_(text: str) -> str:
            delivered = await person.says(text)
            assert delivered.status == 200
            return (await person.sees()).text

        await tell_("halo")
        await tell_("lapor")
        await tell_("3")
        await tell_("atribut")
        await tell_("lamtim")
        await tell_("kemarin")
        await tell_(STORY)
        await tell_("Camat Way Jepara")
        for number, shade in enumerate((10, 20), start=1):
            await person.sends_photo(picture(shade))
            assert str(number) in (await person.sees()).text
        said = await tell_("SELESAI")
        while "Periksa laporan" not in said:
            said = await tell_("lewati" if "Lewati" in said else "tidak")
        receipt = await tell_("kirim")
        code = CODE.search(receipt)
        assert code
        await person.sees()
        assert "Cocok" in await tell_(code[0][-4:])
        (case,) = opened(netra)
        assert case.head["photos"] == 2
        assert not fake.refusals


async def test_a_question_and_the_follow_up_on_another_platform(tmp_path: Path) -> None:
    """A tip sent on WhatsApp is read and continued on Telegram: it belongs to whoever holds the code."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, _):
        person = fake.person(5005)
        answer = await tell(person, "bole ga sy like postingan cabup?")
        assert "DILARANG" in answer
        code = await _sealed(netra)
        assert "sudah masuk" in await tell(person, code)
        await netra.worker.idle()
        assert not [message for message in person.chat.messages.values() if code in message.text], "the typed code still stands in the chat"
        await tap(person, "Tulis pesan")
        assert "disampaikan" in await tell(person, "Ada dua saksi lain yang bersedia bicara.")
        (case,) = opened(netra)
        assert [entry.words for entry in case.entries if entry.kind == "tipster"] == ["Ada dua saksi lain yang bersedia bicara."]


async def _sealed(netra: Netra) -> str:
    """A case that was sent elsewhere; its code."""
    from storage.cases import NewTip

    netra.receipts.refill()
    fresh = netra.receipts.take()
    assert fresh is not None
    tip = NewTip(netra.cases.today(), "id", {"what": STORY, "indicator": "kampanye", "kind": "atribut"}, (), "18.07")
    await netra.store.write(lambda connection: netra.cases.open(connection, Address("web_chat", "x"), tip, fresh.receipt))
    return fresh.code
