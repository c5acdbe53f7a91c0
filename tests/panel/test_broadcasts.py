"""The broadcast pages: written by one, approved by another with a fresh code, followed, stopped."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest

from bot.messages import Address
from bot.texts import Texts
from storage.broadcasts import Outcome
from storage.drafts import Audience, Draft, When
from storage.subscribers import Wish
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]
FORM = {
    "title": "Masa tenang",
    "kind": "stages",
    "channel": "telegram",
    "role": "asn",
    "regions": "Lampung",
    "telegram_id": "*Besok masa tenang.* Lepas stiker.",
    "start": "08:00",
    "end": "20:00",
    "day": "2026-11-21",
    "last": "2026-11-21",
}


def subscribers(house: House) -> None:
    """Three people who would get it, and two who would not."""
    wish = Wish("asn", "18.07", "id", ("stages",))
    others = (Wish("warga", "18.07", "id", ("stages",)), Wish("asn", "32.04", "id", ("stages",)))

    def add(connection: Any) -> None:
        for number, one in enumerate((wish, wish, wish, *others)):
            house.desk.subscribers.subscribe(connection, Address("telegram", str(number + 1)), one, house.clock().date())

    house.store.write_now(add)


@pytest.fixture
def rina(house: House, browser: Open) -> Browser:
    """A broadcaster, signed in; budi may approve."""
    house.account("rina", "broadcaster")
    house.account("budi", "approver")
    subscribers(house)
    found = browser(house)
    found.login("rina")
    return found


def written(rina: Browser, step: str = "propose") -> int:
    """Rina's broadcast: its number."""
    rina.get("/siaran/baru")
    page = rina.post("/siaran/baru", FORM | {"step": step})
    found = re.search(r"<h1>(\d+)\.", page.text)
    assert found is not None, page.text
    return int(found[1])


def state(house: House, number: int) -> str:
    """The state of a broadcast."""
    found = house.store.read_now(lambda connection: house.desk.broadcasts.get(connection, number))
    return found.state if found else ""


def test_composer_counts_and_previews(house: House, rina: Browser) -> None:
    """The count says how many get it and why the others do not; the preview shows the message as a phone does; nothing is saved."""
    rina.get("/siaran/baru")
    page = rina.post("/siaran/baru", FORM | {"step": "count"})
    assert page.status == 200
    assert "Akan menerima sekarang: 3" in page.text
    assert "1 · peran lain" in page.text
    assert "1 · daerah lain" in page.text
    assert "<strong>Besok masa tenang.</strong> Lepas stiker." in page.text
    assert 'value="Masa tenang"' in page.text
    assert house.store.read_now(house.desk.broadcasts.listed) == []


def test_what_is_wrong_is_said_and_nothing_is_lost(house: House, rina: Browser) -> None:
    """A link that is not allowed and a place nobody knows are named; the text stays in the form."""
    rina.get("/siaran/baru")
    bad = FORM | {"telegram_id": "Lihat bit.ly/x <b>", "regions": "Negeri Antah Berantah Xyzzy", "step": "propose"}
    page = rina.post("/siaran/baru", bad)
    assert page.status == 400
    assert "di luar daftar yang diizinkan" in page.text
    assert "Xyzzy" in page.text
    assert "Lihat bit.ly/x &lt;b&gt;" in page.text


def test_two_people_and_a_fresh_code(house: House, browser: Open, rina: Browser) -> None:
    """The writer cannot approve; the other person can, with a fresh code, and only what they saw."""
    number = written(rina)
    assert state(house, number) == "proposed"
    assert "orang lain yang harus menyetujui" in rina.get(f"/siaran/{number}").text
    draft = house.store.read_now(lambda connection: house.desk.broadcasts.get(connection, number))
    assert draft is not None
    assert rina.post(f"/siaran/{number}/setujui", {"seen": draft.draft.digest, "code": rina.code("rina")}).status in (401, 409)
    budi = browser(house)
    budi.login("budi")
    house.clock.forward(minutes=10)
    page = budi.get(f"/siaran/{number}")
    seen = page.field("seen")
    assert len(seen) == 64
    assert budi.post(f"/siaran/{number}/setujui", {"seen": seen, "code": "000000"}).status == 401
    assert state(house, number) == "proposed"
    house.clock.forward(minutes=1)
    budi.get(f"/siaran/{number}")
    assert budi.post(f"/siaran/{number}/setujui", {"seen": "0" * 64, "code": budi.code("budi")}).status == 409
    house.clock.forward(minutes=6)
    budi.get(f"/siaran/{number}")
    page = budi.post(f"/siaran/{number}/setujui", {"seen": seen, "code": budi.code("budi")})
    assert "Ditulis rina, disetujui budi" in page.text
    assert state(house, number) == "approved"
    assert [act.action for act in house.acts() if act.action.startswith("broadcast")] == ["broadcast_approved", "broadcast_proposed"]


def test_edit_voids_the_approval(house: House, browser: Open, rina: Browser) -> None:
    """A change after the approval makes it a draft again."""
    number = written(rina)
    found = house.store.read_now(lambda connection: house.desk.broadcasts.get(connection, number))
    assert found is not None
    house.store.write_now(lambda connection: house.desk.broadcasts.approve(connection, number, "budi", found.draft.digest))
    page = rina.get(f"/siaran/{number}/ubah")
    assert "membatalkan pengajuan dan persetujuan" in page.text
    assert "18" in page.text
    rina.post(f"/siaran/{number}/ubah", FORM | {"telegram_id": "Lain.", "step": "save"})
    assert state(house, number) == "draft"


def test_anybody_on_the_team_can_stop_it(house: House, browser: Open, rina: Browser) -> None:
    """A reviewer sees broadcasts and can hold one, cancel it, or stop all of them, without a code; they can do nothing else."""
    number = written(rina)
    found = house.store.read_now(lambda connection: house.desk.broadcasts.get(connection, number))
    assert found is not None
    house.store.write_now(lambda connection: house.desk.broadcasts.approve(connection, number, "budi", found.draft.digest))
    house.account("tono", "reviewer")
    tono = browser(house)
    tono.login("tono")
    page = tono.get("/siaran")
    assert "Tulis siaran" not in page.text
    tono.post(f"/siaran/{number}/tahan")
    assert state(house, number) == "paused"
    tono.get("/siaran")
    tono.post("/siaran/berhenti")
    assert house.store.read_now(house.desk.broadcasts.stopped_by) == "tono"
    tono.get(f"/siaran/{number}")
    assert tono.post(f"/siaran/{number}/lanjut").status == 403
    assert tono.request("GET", "/siaran/baru").status == 403
    tono.get(f"/siaran/{number}")
    tono.post(f"/siaran/{number}/batal")
    assert state(house, number) == "cancelled"


def test_results_in_plain_words(house: House, rina: Browser) -> None:
    """Afterwards one page says what reached whom not and why; who failed can be sent to again."""
    number = written(rina)
    broadcasts = house.desk.broadcasts
    found = house.store.read_now(lambda connection: broadcasts.get(connection, number))
    assert found is not None
    house.store.write_now(lambda connection: broadcasts.approve(connection, number, "budi", found.draft.digest))
    house.clock.at = dt.datetime(2026, 11, 21, 9, 0, tzinfo=house.clock.at.tzinfo)
    running = house.store.write_now(lambda connection: broadcasts.due(connection, "r"))[0]
    names = house.store.read_now(lambda connection: broadcasts.candidates(connection, running, "telegram", "WIB", after=None, limit=9))
    assert len(names) == 3

    def walk(connection: Any) -> None:
        broadcasts.claim(connection, running, "telegram", "r", zones=["WIB"], lane="WIB", names=names, lane_over=True)
        outcomes = ("failed", "uncertain", "sent")
        reasons = ("bad_request", "unanswered", "")
        broadcasts.settle(connection, number, [Outcome(*one) for one in zip(names, ["telegram"] * 3, outcomes, reasons, strict=True)])
        assert broadcasts.finish(connection, running, "r")

    house.store.write_now(walk)
    rina.login("rina")
    page = rina.get(f"/siaran/{number}")
    for words in ("platform menolak bentuk pesannya", "platform tidak pernah menjawab", "Kirim ulang yang gagal", "3 dari 3", "Selesai"):
        assert words in page.text, words
    page = rina.post(f"/siaran/{number}/ulang", {"code": ""})
    assert f"Kirim ulang untuk yang gagal pada siaran {number}" in page.text
    assert "Akan menerima sekarang: 1" in page.text


def test_pack_makes_drafts(house: House, rina: Browser) -> None:
    """Chosen reminders become drafts on their days, for the chosen regions; copies can be made for other days."""
    page = rina.get("/siaran/paket")
    assert "Besok masa tenang" in page.text
    rina.post("/siaran/paket", {"reminder": "besok-masa-tenang", "regions": "Lampung"})
    drafts = house.store.read_now(house.desk.broadcasts.listed)
    assert [(one.draft.when.label, one.draft.when.day, one.draft.audience.regions) for one in drafts] == [
        ("H-4", dt.date(2024, 11, 23), ("18",))
    ]
    rina.get(f"/siaran/{drafts[0].id}")
    rina.post(f"/siaran/{drafts[0].id}/salin", {"label": "H-1"})
    assert house.store.read_now(house.desk.broadcasts.listed)[0].draft.when.day == dt.date(2024, 11, 26)


def test_linking_code_and_test_message(house: House, rina: Browser) -> None:
    """The code for one's own chat is shown once; a linked writer can send a test to it."""
    rina.get("/siaran")
    page = rina.post("/siaran/hubungkan")
    found = re.search(r"[A-Z0-9]{5}-[A-Z0-9]{5}", page.text)
    assert found is not None
    code = found[0]
    assert house.store.write_now(lambda connection: house.desk.staff_chats.link(connection, Address("telegram", "9"), code))
    number = written(rina, "save")
    rina.post(f"/siaran/{number}/uji")
    assert [asked[0] for asked in house.store.read_now(house.desk.broadcasts.asked_tests)] == [number]


def test_english_and_every_state(house: House, rina: Browser) -> None:
    """The pages work in English, and an unknown broadcast is not found."""
    number = written(rina)
    rina.post("/bahasa", {"language": "en", "back": "/siaran"})
    assert "Reminder broadcasts" in rina.get("/siaran").text
    assert "Waiting for approval" in rina.get(f"/siaran/{number}").text
    assert rina.get("/siaran/999").status == 404
    assert rina.get("/siaran/999999999999999999999").status == 404


def test_a_preview_ends_as_the_message_does(rina: Browser) -> None:
    """The line about stopping and the button stand under the preview in the words that are sent."""
    texts = Texts.load()
    rina.get("/siaran/baru")
    page = rina.post("/siaran/baru", FORM | {"step": "count", "telegram_en": "Tomorrow is quiet."})
    for language in ("id", "en"):
        assert f"<em>{texts.plain(language, 'subscribe.footer')}</em>" in page.text
        assert f'<span class="tag">{texts.plain(language, "subscribe.stop_button")}</span>' in page.text


def test_missing_templates_are_explained(house: House, rina: Browser) -> None:
    """Who would not be reached on WhatsApp is counted beside the fields, with the steps to a template; one has to say how to stop."""
    wish = Wish("asn", "18.07", "id", ("stages",))
    someone, long_ago = Address("whatsapp", "whatsapp:+628120000001"), house.clock().date() - dt.timedelta(days=3)
    house.store.write_now(lambda connection: house.desk.subscribers.subscribe(connection, someone, wish, long_ago))
    rina.get("/siaran/baru")
    form = FORM | {"channel": "", "session_id": "Besok masa tenang."}
    page = rina.post("/siaran/baru", form | {"step": "count"})
    assert "1 pelanggan WhatsApp tidak akan menerima" in page.text
    assert "Content Template Builder" in page.text
    mute = {"template_id": "HX" + "0" * 32, "wording_id": "Besok {{1}} ya.", "values_id": "masa tenang"}
    page = rina.post("/siaran/baru", form | mute | {"step": "propose"})
    assert page.status == 400
    assert "Templat harus memuat cara berhenti" in page.text
    page = rina.post("/siaran/baru", form | mute | {"wording_id": "Besok {{1}}. Balas BERHENTI untuk berhenti.", "step": "count"})
    assert "tidak akan menerima" not in page.text


def test_what_the_program_prepared_needs_two_persons(house: House, browser: Open, rina: Browser) -> None:
    """A draft because of a changed answer lies among the drafts and says so; who submits it may not approve it."""
    broadcasts, today = house.desk.broadcasts, house.clock().date()
    draft = Draft("Jawaban yang berubah: 1", "rules", When(today, today), Audience(), telegram={"id": "Ada jawaban yang berubah."})
    number = house.store.write_now(lambda connection: broadcasts.prepare(connection, draft, ["sosmed.like@1"]))
    assert "Disiapkan otomatis" in rina.get("/siaran").text
    rina.get(f"/siaran/{number}")
    page = rina.post(f"/siaran/{number}/ajukan")
    assert "orang lain yang harus menyetujui" in page.text
    assert "Ditulis rina" in page.text
    budi = browser(house)
    budi.login("budi")
    seen = budi.get(f"/siaran/{number}").field("seen")
    assert "disetujui budi" in budi.post(f"/siaran/{number}/setujui", {"seen": seen, "code": budi.code("budi")}).text
