"""One tip, from arrival to a recorded outcome."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, update

from storage import originals
from storage.export import as_text, open_export
from storage.models import Group, Item, Seal
from storage.vault import derive_passphrase, open_receiver_key
from tests.panel.conftest import CHAT, PASSPHRASE, Browser, House, picture

Open = Callable[[House], Browser]

HOSTILE = (
    "{{7*7}} <script>alert(1)</script> <img src=x onerror=alert(2)> \u202egnalib\u202c a\u200bb \x07 "
    "lihat https://evil.example/a?b=1 dan www.jahat.id"
)


@pytest.fixture
def staff(house: House, browser: Open) -> Browser:
    """A reviewer and verifier of the central team, signed in."""
    house.account("rina", "reviewer verifier")
    found = browser(house)
    found.login("rina")
    return found


def test_a_tip_is_listed_opened_and_answered(house: House, staff: Browser) -> None:
    """A receiver finds a tip, reads it with its photo and answers; the tipster reads the answer with the code."""
    case, receipt = house.tip(photos=(picture(),))
    assert "Lampung Timur" in staff.get("/laporan").text
    page = staff.get(f"/laporan/{case.hex()}")
    assert "Kepala dinas menyukai" in page.text
    image = page.text.split("/foto/")[1].split('"')[0]
    for address in (image, image.partition("?")[0]):
        photo = staff.request("GET", f"/laporan/{case.hex()}/foto/{address}")
        assert photo.headers["Content-Type"] == "image/jpeg" and photo.headers["Content-Disposition"].startswith("inline")
        assert Image.open(io.BytesIO(photo.body)).format == "JPEG"
    assert staff.get(f"/laporan/{case.hex()}/lihat/{image.partition('?')[0]}").status == 200
    staff.get(f"/laporan/{case.hex()}")
    page = staff.post(f"/laporan/{case.hex()}/tulis", {"audience": "tipster", "words": "Terima kasih, kami pelajari."})
    assert page.status == 200 and "Jawaban terkirim" in page.text
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    assert [entry.words for entry in opened.entries if entry.kind == "team"] == ["Terima kasih, kami pelajari."]
    assert (opened.status, opened.whose_turn, opened.news, opened.deadline) == ("open", "tipster", True, None)


def test_hostile_words_are_inert_wherever_they_are_shown(house: House, staff: Browser) -> None:
    """Template code, HTML, links and hidden signs of a tipster are shown as what they are, on every page that shows them."""
    case, receipt = house.tip(what=HOSTILE * 2, who=HOSTILE, more=HOSTILE, region_name=HOSTILE)
    house.store.write_now(lambda connection: house.cases.tell_team(connection, CHAT, receipt, HOSTILE, ()))
    other, _ = house.tip(what=HOSTILE * 2, region_name=HOSTILE)
    here = f"/laporan/{case.hex()}"
    for path in ("/laporan?map=all", "/laporan?map=all&cari=gnalib", here, f"{here}/serupa", f"{here}/serahkan"):
        text = staff.get(path).text
        assert "<script>alert" not in text and "<img src=x" not in text, path
        for sign in ("\u202e", "\u202c", "\u200b", "\x07"):
            assert sign not in text, (path, sign)
        assert "https://evil" not in text and "www.jahat.id" not in text, path
    text = staff.get(here).text
    assert "{{7*7}}" in text and "&lt;script&gt;" in text and "hxxps://evil[.]example" in text
    assert 'class="unseen">U+202E<' in text and 'class="unseen">U+200B<' in text
    assert not re.search(r'<a[^>]*href="(?!/|#)', text)
    assert other


def test_a_changed_record_is_refused_and_the_list_goes_on(house: House, staff: Browser) -> None:
    """A case whose record is not what was sealed is never shown: it says so, and the other tips stay within reach."""
    (case, _), (other, _) = house.tip(what="Kepala dinas menyukai unggahan calon di grup kantor."), house.tip()
    body = house.store.read_now(lambda c: c.execute(select(Item.body).where(Item.case_id == other)).scalar_one())
    for table, change in ((Item, {"body": body}), (Seal, {"body": b"x" * 80})):
        house.store.write_now(lambda c, table=table, change=change: c.execute(update(table).where(table.case_id == case).values(**change)))  # type: ignore[misc]
        for path in (f"/laporan/{case.hex()}", f"/laporan/{case.hex()}/serupa"):
            page = staff.get(path)
            assert page.status == 409 and "rusak atau telah diubah" in page.text and "Kepala dinas" not in page.text
        assert staff.get("/laporan?map=all&cari=dinas").status == 200
        assert staff.get(f"/laporan/{other.hex()}").status == 200
    assert "Tidak terbaca." in staff.get("/laporan?map=all").text


def test_a_team_opens_nothing_of_another_team(house: House, browser: Open) -> None:
    """A reviewer of one region has no way to a tip of another: not its page, its photos, its actions, nor the search."""
    house.team("Tim Lampung Timur", "18.07")
    house.team("Tim Bandar Lampung", "18.71")
    house.account("timur", "reviewer verifier", "Tim Lampung Timur")
    house.account("kota", "reviewer verifier", "Tim Bandar Lampung")
    case, receipt = house.tip(photos=(picture(),), region="18.07")
    mine, _ = house.tip(region="18.71", region_name="Kota Bandar Lampung, Lampung")
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    photo = opened.entries[0].photos[0]
    kota, here = browser(house), f"/laporan/{case.hex()}"
    kota.login("kota")
    for path in (here, f"{here}/foto/{photo}", f"{here}/lihat/{photo}", f"{here}/serupa", f"{here}/serahkan"):
        assert kota.get(path).status == 404, path
    assert kota.get(f"/laporan/{mine.hex()}/foto/{photo}").status == 404
    for action, data in (
        ("tulis", {"audience": "tipster", "words": "x"}),
        ("ambil", {}),
        ("lepas", {}),
        ("periksa", {}),
        ("hasil", {"verdict": "proven", "reason": "x", "for_tipster": "x"}),
        ("tutup", {}),
        ("buka", {}),
        ("gabung", {"other": mine.hex()}),
        ("pisah", {}),
        ("serahkan", {"to": "bawaslu", "summary": "x"}),
    ):
        kota.get("/saya")
        assert kota.post(f"{here}/{action}", data, follow=False).status == 404, action
    kota.get("/saya")
    assert kota.post(f"/laporan/{mine.hex()}/gabung", {"other": case.hex()}, follow=False).status == 404
    kota.get("/saya")
    assert kota.post("/laporan/ekspor", {"case": case.hex()}, follow=False).status == 404
    assert opened.alias not in kota.get("/laporan?map=all").text
    assert opened.alias not in kota.get("/laporan?map=all&cari=unggahan").text
    again = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert again is not None and len(again.entries) == 1


def test_two_people_never_work_one_tip_unknowingly(house: House, browser: Open) -> None:
    """Who has not claimed a tip that somebody else works on cannot answer or decide it, and keeps what they typed."""
    house.account("rina", "reviewer")
    house.account("budi", "reviewer")
    case, receipt = house.tip()
    here, rina, budi = f"/laporan/{case.hex()}", browser(house), browser(house)
    rina.login("rina")
    budi.login("budi")
    budi.get(here)
    rina.get(here)
    assert rina.post(f"{here}/ambil").status == 200
    page = budi.post(f"{here}/tulis", {"audience": "tipster", "words": "Jawaban saya yang panjang."})
    assert page.status == 409 and "Jawaban saya yang panjang." in page.text
    budi.get(here)
    assert budi.post(f"{here}/hasil", {"verdict": "proven", "reason": "a", "for_tipster": "b"}).status == 409
    page = budi.post(f"{here}/ambil")
    assert "Orang lain sedang menangani" in page.text
    assert budi.post(f"{here}/ambil", {"over": "1"}).status == 200
    assert budi.post(f"{here}/tulis", {"audience": "tipster", "words": "Sekarang saya."}).status == 200
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    assert [entry.words for entry in opened.entries if entry.kind == "team"] == ["Sekarang saya."]
    assert not [act for act in house.acts("answered") if act.actor == "budi"][1:]


def test_a_batch_takes_the_oldest_that_nobody_has(house: House, browser: Open) -> None:
    """Ten at once, oldest first, and the next person gets the others."""
    house.account("rina", "reviewer")
    house.account("budi", "reviewer")
    cases = []
    for _ in range(12):
        cases.append(house.tip()[0])
        house.clock.forward(days=1)
    rina, budi = browser(house), browser(house)
    rina.login("rina")
    budi.login("budi")
    rina.get("/laporan")
    assert rina.post("/laporan/ambil").text.count('class="row"') == 10
    budi.get("/laporan")
    page = budi.post("/laporan/ambil")
    assert page.text.count('class="row"') == 2
    assert all(case.hex() in page.text for case in cases[-2:])


def test_a_note_for_the_team_and_one_for_oneself_stay_where_they_belong(house: House, browser: Open) -> None:
    """The tipster sees neither; a colleague sees the team's, and cannot even decrypt the other."""
    house.account("rina", "reviewer")
    house.account("budi", "reviewer")
    case, receipt = house.tip()
    here, rina, budi = f"/laporan/{case.hex()}", browser(house), browser(house)
    rina.login("rina")
    budi.login("budi")
    rina.get(here)
    rina.post(f"{here}/tulis", {"audience": "team", "words": "catatan untuk tim"})
    rina.post(f"{here}/tulis", {"audience": "me", "words": "hanya untuk diri saya"})
    assert "hanya untuk diri saya" in rina.get(here).text
    text = budi.get(here).text
    assert "catatan untuk tim" in text and "hanya untuk diri saya" not in text
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    assert "hanya untuk diri saya" not in json.dumps([dict(entry.facts) | {"words": entry.words} for entry in opened.entries])
    assert [entry.kind for entry in opened.entries if entry.words and entry.kind == "team"] == []


def test_an_outcome_needs_its_reason_and_tells_the_tipster(house: House, staff: Browser) -> None:
    """A verdict without reason or text for the tipster is not taken; with them it is on the timeline, counted, and told."""
    case, receipt = house.tip()
    here = f"/laporan/{case.hex()}"
    staff.get(here)
    full = {"verdict": "proven", "reason": "Dua saksi.", "for_tipster": "Laporan Anda terbukti.", "note": "rahasia", "sanction": "severe"}
    for missing in ("verdict", "reason", "for_tipster"):
        staff.get(here)
        assert staff.post(f"{here}/hasil", full | {missing: ""}).status == 400, missing
    staff.get(here)
    assert staff.post(f"{here}/tutup").status == 409
    staff.get(here)
    page = staff.post(f"{here}/hasil", full | {"close": "1"})
    assert page.status == 200 and "Terbukti" in page.text and "Disiplin berat" in page.text
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None and opened.status == "closed" and opened.head["verdict"] == "proven"
    assert [entry.words for entry in opened.entries if entry.kind == "team"] == ["Laporan Anda terbukti."]
    assert house.cases.statistics is not None
    counted = house.store.read_now(house.cases.statistics.all)
    assert [(tip.region, tip.kind, tip.outcome) for tip in counted] == [("18.07", "media_sosial", "proven")]
    assert "Buka lagi" in page.text
    staff.post(f"{here}/buka")
    assert case.hex() in staff.get("/laporan?map=team").text


def test_the_checklist_starts_from_the_tip_and_keeps_what_the_team_ticks(house: House, staff: Browser) -> None:
    """What a tip itself shows is ticked; the seven days are counted from when the tipster learned of it."""
    case, _ = house.tip(photos=(picture(),), when="2026-11-18", who="")
    here = f"/laporan/{case.hex()}"
    text = staff.get(here).text
    ticked = set(re.findall(r'name="tick_(\w+)" value="1" checked', text))
    assert ticked == {"what", "when", "where", "evidence"}
    assert "25 Nov 2026 (sisa 5 hari)" in text
    page = staff.post(f"{here}/periksa", {"learned": "2026-11-01", "tick_witness": "1", "tick_nonsense": "1"})
    assert set(re.findall(r'name="tick_(\w+)" value="1" checked', page.text)) == {"witness"}
    assert "sudah lewat: 8 Nov 2026" in page.text
    assert staff.post(f"{here}/periksa", {"learned": "kapan-kapan"}).status == 400


def test_similar_tips_are_found_and_put_together(house: House, staff: Browser) -> None:
    """The same picture, nearly the same words, the same place and day: each is a reason, and grouping marks both."""
    first, _ = house.tip(photos=(picture(3, (640, 480)),))
    shrunk = io.BytesIO()
    Image.open(io.BytesIO(picture(3, (640, 480)))).resize((400, 300)).save(shrunk, "JPEG", quality=60)
    other = "Cerita yang lain sama sekali tentang rapat kecamatan."
    same_picture, _ = house.tip(photos=(shrunk.getvalue(),), what=other, when="", region="18.71")
    same_words, _ = house.tip(what="Kepala dinas menyukai & membagikan unggahan calon bupati dari akun kantor!!", when="", region="18.71")
    neither, _ = house.tip(what="Guru membagikan kaus bergambar kepada murid di sekolah dasar itu.", when="2026-11-02", region="18.02")
    here = f"/laporan/{first.hex()}"
    announced = staff.get(here).text
    assert "Gambar ini ada di 2 laporan" in announced and same_picture.hex() in announced
    assert "Gambar ini ada di" not in staff.get(f"/laporan/{same_words.hex()}").text
    text = staff.get(f"{here}/serupa").text
    assert same_picture.hex() in text and "foto yang sama" in text
    assert same_words.hex() in text and "kata-kata hampir sama" in text
    assert neither.hex() not in text
    staff.get(here)
    page = staff.post(f"{here}/gabung", {"other": same_picture.hex()})
    assert "digabung" in page.text
    assert "digabung" in staff.get(f"/laporan/{same_picture.hex()}").text
    staff.get(here)
    staff.post(f"{here}/pisah")
    assert "Keluarkan dari gabungan" not in staff.get(here).text


def test_a_hand_over_packet_holds_what_its_manifest_says(house: House, staff: Browser) -> None:
    """Every file of the packet has the hash its manifest names; identities are taken out; the officer's name is not kept."""
    what = "Camat mengajak memilih calon. Hubungi saya di 0812-3456-7890 atau saya@contoh.id ya."
    case, receipt = house.tip(photos=(picture(1), picture(2)), what=what)
    here = f"/laporan/{case.hex()}"
    page = staff.get(f"{here}/serahkan")
    assert "0812-3456-7890" not in page.text and "saya@contoh.id" not in page.text
    photos = re.findall(r'name="photo_(\w+)"', page.text)
    summary = re.search(r'<textarea id="summary"[^>]*>([^<]*)<', page.text)
    assert len(photos) == 2 and summary is not None
    data = {"to": "bawaslu", "summary": summary[1], f"photo_{photos[0]}": "1", "officer": "Petugas Contoh", "nip": "198001012005011001"}
    assert staff.post(f"{here}/serahkan", {**data, "to": "nobody"}).status == 400
    staff.get(here)
    answer = staff.post(f"{here}/serahkan", data, follow=False)
    assert answer.status == 200 and answer.headers["Content-Disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as packet:
        manifest = json.loads(packet.read("manifest.json"))
        for entry in manifest["files"]:
            assert hashlib.sha256(packet.read(entry["name"])).hexdigest() == entry["sha256"]
        assert sorted(packet.namelist()) == ["SHA256SUMS", "foto-01.jpg", "laporan.txt", "manifest.json"]
        assert "198001012005011001" in packet.read("laporan.txt").decode()
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    assert "198001012005011001" not in json.dumps([dict(entry.facts) for entry in opened.entries])
    assert [act.detail for act in house.acts("handed_over")] == ["bawaslu"]


def test_exporting_several_tips_takes_a_second_person(house: House, browser: Open, staff: Browser) -> None:
    """The asker cannot agree; after somebody else did, the packet can be taken once."""
    house.account("auditor", "auditor")
    cases = [house.tip(photos=(picture(number),))[0] for number in range(2)]
    staff.get("/laporan")
    page = staff.post("/laporan/ekspor", {"case": cases[0].hex()})
    assert "Menunggu orang lain" in page.text and "/pakai" not in page.text and "/setuju" not in page.text
    other = browser(house)
    other.login("auditor")
    page = other.get("/persetujuan")
    agree = re.search(r'action="(/persetujuan/\w+/setuju)"', page.text)
    assert agree is not None
    name = agree[1].removesuffix("/setuju")
    staff.get("/persetujuan")
    assert staff.post(f"{name}/setuju").status == 409
    staff.get("/persetujuan")
    assert staff.post(f"{name}/pakai").status == 409
    other.get("/persetujuan")
    assert other.post(f"{name}/setuju").status == 200
    staff.get("/persetujuan")
    packet = staff.post(f"{name}/pakai", follow=False)
    assert packet.status == 200 and zipfile.ZipFile(io.BytesIO(packet.body)).testzip() is None
    staff.get("/persetujuan")
    assert staff.post(f"{name}/pakai").status == 409
    assert [act.actor for act in house.acts("exported")] == ["rina"]


def test_folders_filters_and_search_agree_with_the_tips(house: House, staff: Browser) -> None:
    """Counts come from the rows, filters and words from what is sealed; nothing of it is written anywhere."""
    one, receipt = house.tip(what="Camat membagikan beras bergambar calon di balai desa.", kind="bansos", indicator="pelayanan")
    two, _ = house.tip(region="18.71", region_name="Kota Bandar Lampung, Lampung", photos=(picture(),))
    house.store.write_now(lambda connection: house.cases.tell_team(connection, CHAT, receipt, "Saya diancam.", (), danger=True))
    for query, wanted in (
        ("map=all", {one, two}),
        ("map=all&daerah=bandar", {two}),
        ("map=all&indikator=pelayanan", {one}),
        ("map=all&terancam=1", {one}),
        ("map=all&foto=1", {two}),
        ("map=all&cari=beras+calon", {one}),
        ("map=all&cari=diancam", {one}),
        ("map=all&cari=tidakada", set()),
        ("map=mine", set()),
        ("map=nonsense&hal=-3", {one, two}),
    ):
        text = staff.get(f"/laporan?{query}").text
        assert {case for case in (one, two) if case.hex() in text} == wanted, query
    house.clock.forward(days=6)
    staff.login("rina")
    assert "Lewat tenggat 25 Nov 2026" in staff.get("/laporan?map=near").text
    raw = b"".join(path.read_bytes() for path in Path(house.store.url.removeprefix("sqlite:///")).parent.glob("netra.db*"))
    assert b"beras" not in raw and b"Bandar" not in raw and b"bansos" not in raw


def test_deadlines_count_working_days(house: House, staff: Browser) -> None:
    """A tip of Friday is due on Wednesday; one before Christmas skips the holidays."""
    import datetime as dt

    from storage.cases import working_days_after

    assert working_days_after(dt.date(2026, 11, 20), 3) == dt.date(2026, 11, 25)
    assert working_days_after(dt.date(2026, 12, 23), 1) == dt.date(2026, 12, 28)
    assert working_days_after(dt.date(2035, 6, 1), 1) == dt.date(2035, 6, 4)
    house.tip()
    assert "Tenggat 25 Nov 2026" in staff.get("/laporan").text


def test_every_opening_and_step_is_on_record_without_content(house: House, staff: Browser) -> None:
    """The log names who did what with which case, and not a word of it."""
    case, _ = house.tip()
    here = f"/laporan/{case.hex()}"
    staff.get(here)
    staff.post(f"{here}/ambil")
    staff.post(f"{here}/tulis", {"audience": "tipster", "words": "kata-kata rahasia"})
    staff.post(f"{here}/lepas")
    mine = [act for act in house.acts() if act.subject == case.hex()]
    assert {"case_opened", "claimed", "answered", "released"} <= {act.action for act in mine}
    assert all("rahasia" not in f"{act.detail}{act.subject}" for act in house.acts())
    assert all(act.actor == "rina" for act in mine)


def agreed(house: House, browser: Open, staff: Browser) -> str:
    """Have an auditor agree to what waits; the path under which the asker carries it out."""
    house.account("auditor", "auditor")
    other = browser(house)
    other.login("auditor")
    found = re.search(r'action="(/persetujuan/\w+)/setuju"', other.get("/persetujuan").text)
    assert found is not None
    assert other.post(f"{found[1]}/setuju").status == 200
    house.clock.forward(minutes=1)
    staff.get("/persetujuan")
    return f"{found[1]}/pakai"


def test_a_legal_hold_takes_two_people_and_stops_withdrawal(house: House, browser: Open, staff: Browser) -> None:
    """A held tip cannot be withdrawn; the page says so, and ending the hold takes two people again."""
    case, receipt = house.tip()
    here = f"/laporan/{case.hex()}"
    staff.get(here)
    assert staff.post(f"{here}/tahan").status == 200
    path = agreed(house, browser, staff)
    assert staff.post(path).status == 200
    assert "Ditahan untuk perkara" in staff.get(here).text and "Minta penahanan diakhiri" in staff.page.text
    assert not house.store.write_now(lambda connection: house.cases.withdraw(connection, receipt))
    assert [(act.actor, act.detail) for act in house.acts("held")] == [("rina", "auditor")]


def test_an_original_leaves_only_after_two_people(house: House, browser: Open, staff: Browser) -> None:
    """The viewer says that an original is there; it is released once, as the locked file that only an offline key opens."""
    case, receipt = house.tip(photos=(picture(),))
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    photo, day = opened.entries[0].photos[0], house.clock().date()
    file = b"age-encryption.org/v1 locked"
    house.store.write_now(lambda connection: originals.keep(connection, case, opened.key, bytes.fromhex(photo), file, day))
    here = f"/laporan/{case.hex()}"
    assert "Asli tersedia" in staff.get(f"{here}/lihat/{photo}").text
    assert staff.post(f"{here}/asli/{'00' * 16}", follow=False).status == 404
    staff.get(f"{here}/lihat/{photo}")
    assert staff.post(f"{here}/asli/{photo}").status == 200
    path = agreed(house, browser, staff)
    answer = staff.post(path, follow=False)
    assert answer.status == 200 and answer.body == file
    staff.get("/persetujuan")
    assert staff.post(path).status == 409


def test_a_team_with_offline_keys_gets_envelopes(house: House, staff: Browser) -> None:
    """Nothing of the tip is shown; the sealed file opens with the receiver's key, and an answer reaches the tipster."""
    case, receipt = house.tip()
    house.store.write_now(lambda connection: connection.execute(update(Group).values(offline=True)))
    here = f"/laporan/{case.hex()}"
    assert "Lampung Timur" not in staff.get("/laporan").text and case.hex() in staff.page.text
    page = staff.get(here)
    assert page.status == 200 and "Kepala dinas" not in page.text and "amplop" in page.text
    assert "Tidak ada laporan yang cocok" in staff.get("/laporan?map=all&cari=unggahan").text
    for action in ("ambil", "hasil", "periksa", "serahkan"):
        staff.get(here)
        data = {"verdict": "proven", "reason": "a", "for_tipster": "b", "to": "bkn", "summary": "x"}
        assert staff.post(f"{here}/{action}", data, follow=False).status == 404, action
    staff.get(here)
    envelope = staff.post(f"{here}/amplop", follow=False)
    assert envelope.status == 200 and b"Kepala dinas" not in envelope.body
    account = house.store.read_now(lambda connection: house.staff.find(connection, "rina"))
    assert account is not None
    derived = derive_passphrase(PASSPHRASE, account.salt)
    private_key = open_receiver_key(derived, account.id, account.public_key, account.private_key)
    assert "Kepala dinas menyukai" in as_text(open_export(envelope.body, private_key))
    staff.get(here)
    assert staff.post(f"{here}/tulis", {"audience": "tipster", "words": "Terima kasih."}).status == 200
    staff.get(here)
    assert staff.post(f"{here}/tulis", {"audience": "team", "words": "x"}, follow=False).status == 404
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None and [entry.words for entry in opened.entries if entry.kind == "team"] == ["Terima kasih."]


def test_a_chat_that_asked_for_no_news_cannot_be_muted(house: House, staff: Browser) -> None:
    """Nothing leads from a tip to its chat, so that muting is refused with the reason."""
    case, _ = house.tip()
    staff.get(f"/laporan/{case.hex()}")
    page = staff.post(f"/laporan/{case.hex()}/bisukan")
    assert page.status == 409 and "tidak ada jalan dari laporan ke obrolan" in page.text
