"""Opt-in notices in the whole program: the team answers, one neutral sentence reaches the phone, one tap ends it; and the notice page."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from bot.main import Netra
from tests.channels.fake_telegram import FakeTelegram, Person, Shown
from tests.platforms.test_whole import CODE, STORY, anyio_backend, opened, started, tap, tell

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


async def answer(netra: Netra, words: str) -> None:
    """The team answers the only case."""
    (case,) = opened(netra)
    await netra.store.write(lambda connection: netra.cases.tell_tipster(connection, case, "penelaah", words))


async def until(person: Person, label: str) -> Shown:
    """The next message that offers this button; others may come before it."""
    while label not in (heard := await person.hears()).labels:
        pass
    return heard


async def test_a_notice_reaches_the_phone_and_one_tap_ends_it(tmp_path: Path) -> None:
    """Asked for with the code; sent at once after the answer is durable; says nothing of a report; the second answer sends nothing."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, public):
        person = fake.person(4711)
        for words in ("/start", "/lapor"):
            await tell(person, words)
        for label in ("Lainnya", "Tidak yakin", "Kemarin"):
            await tap(person, label)
        said = await tell(person, STORY)
        while "Periksa laporan" not in said:
            said = await tap(person, "Lewati" if "Lewati" in person.sees()[-1].labels else "Selesai")
        receipt = await tap(person, "Kirim")
        code = CODE.search(receipt)
        assert code
        await person.hears()
        await tell(person, code[0][-4:])
        await netra.worker.idle()
        await person.says(code[0])
        await until(person, "Kabari saya")
        await person.taps("Kabari saya")
        await until(person, "Ya")
        await person.taps("Ya")
        await until(person, "Cek laporan")
        await netra.worker.idle()
        await answer(netra, "Terima kasih. Siapa yang hadir?")
        notice = await until(person, "Jangan kabari lagi")
        assert notice.text == netra.texts.plain("id", "quiet.notice")
        async with aiohttp.ClientSession() as browser, browser.get(f"{public}/kabar") as page:
            assert opened(netra)[0].alias in await page.text()
            assert page.headers["Cache-Control"] == "no-store"
        await person.taps("Jangan kabari lagi")
        await until(person, "Cek laporan")
        await netra.worker.idle()
        before = len(person.sees())
        await answer(netra, "Satu hal lagi.")
        await netra.store.write(lambda connection: None)
        await netra.worker.idle()
        assert len(person.sees()) == before
        assert not fake.refusals
