"""Papers, pictures and the pages around them, over real HTTP; and when an answer changed."""

from __future__ import annotations

import datetime as dt
import io
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from PIL import Image

from bot import web as public
from bot.downloads import AT_MOST, Downloads
from bot.handouts import CARDS_KEPT, Handouts
from bot.health import Report
from bot.main import papers_of
from bot.templates import Pages
from bot.texts import Texts
from faq.calendar import Calendar
from faq.entries import Entry, Sanction, load_entries
from faq.versions import Version, by_stage, compare, load_versions, mark, renewed, stale, write_versions
from handlers.self_check import self_check
from storage.counts import Counts
from storage.practice import Score
from tests.talk import Machine, Talk

ENTRIES, TEXTS = load_entries(), Texts.load()
LIKE = "sosmed.like-postingan"
SCORE = Score(dt.date(2024, 11, 18), 9, 10)


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def anyio_backend() -> str:
    """These tests run on asyncio."""
    return "asyncio"


class Place:
    """The public listener on loopback, with a browser."""

    def __init__(self, base: str, browser: ClientSession, handouts: Handouts, clock: Seconds) -> None:
        self.base, self.browser, self.handouts, self.clock = base, browser, handouts, clock
        self.papers = handouts.papers

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, str]:
        """Status, body and type of a page."""
        async with self.browser.get(self.base + path, headers=headers) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            return answer.status, await answer.read(), answer.content_type

    async def post(self, path: str) -> tuple[int, bytes, str]:
        """The same after pressing the button."""
        async with self.browser.post(self.base + path) as answer:
            return answer.status, await answer.read(), answer.headers.get("Content-Disposition", "")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A running public listener."""
    clock = Seconds()
    papers = replace(papers_of(TEXTS, b"k" * 32, Counts(), "https://netra.example"), downloads=Downloads("", clock))
    words = public.page_words(TEXTS)
    handouts = Handouts(papers, ENTRIES, TEXTS, Pages(), words)

    async def ready() -> Report:
        return Report(True, {}, {}, {})

    async def statistics(_: str) -> list[public.Table]:
        return []

    async def notices() -> list[str]:
        return []

    app = public.application([], Pages(), TEXTS, links=[], ready=ready, statistics=statistics, notices=notices, more=handouts.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as browser:
        yield Place(f"http://127.0.0.1:{runner.addresses[0][1]}", browser, handouts, clock)
    await runner.cleanup()


# --- short-lived documents ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_document_is_fetched_once_by_its_button(place: Place) -> None:
    """Looking at the page, as a messenger's preview does, uses nothing up; the button gives the file once."""
    token, link = place.papers.downloads.offer("web_chat", "a.pdf", "application/pdf", lambda: b"%PDF-made")
    assert link == ""
    for _ in range(2):
        status, body, _ = await place.get(f"/unduh/{token}")
        assert status == 200 and b"a.pdf" in body and b'<form method="post">' in body
    assert await place.post(f"/unduh/{token}") == (200, b"%PDF-made", 'attachment; filename="a.pdf"')
    status, body, _ = await place.post(f"/unduh/{token}")
    assert status == 404 and b"%PDF" not in body
    assert (await place.get(f"/unduh/{token}"))[0] == 404


@pytest.mark.anyio
async def test_a_document_waits_fifteen_minutes(place: Place) -> None:
    """After that nothing of it is left."""
    token, _ = place.papers.downloads.offer("web_chat", "a.pdf", "application/pdf", lambda: b"x")
    place.clock.now += 15 * 60 - 1
    assert (await place.get(f"/unduh/{token}"))[0] == 200
    place.clock.now += 1
    assert (await place.post(f"/unduh/{token}"))[0] == 404
    assert place.papers.downloads._waiting == {}


def test_memory_for_documents_is_bounded() -> None:
    """The oldest goes when there are too many; a channel without a public address gets none."""
    downloads = Downloads("", Seconds())
    first, _ = downloads.offer("web_chat", "a", "b", lambda: b"")
    for _ in range(AT_MOST):
        downloads.offer("web_chat", "a", "b", lambda: b"")
    assert downloads.known(first) is None and len(downloads._waiting) == AT_MOST
    assert downloads.serves("web_chat") and not downloads.serves("whatsapp")
    token, link = Downloads("https://netra.example/", Seconds()).offer("whatsapp", "a", "b", lambda: b"")
    assert link == f"https://netra.example/unduh/{token}" and len(token) >= 32


# --- the papers ---------------------------------------------------------------------------------------------------------------------


def drawings(language: str, url: str) -> list[Callable[[], bytes]]:
    """Both papers in a language, with and without a public address."""
    papers = papers_of(TEXTS, b"k" * 32, Counts(), url)
    name = "Wahyu Kusumaningrum-Prabowo Hadiningrat Sosrodiningrat, S.Pd."
    return [
        lambda: papers.documents.certificate(language, name, SCORE, papers.certificates.code(SCORE)),
        lambda: papers.documents.pledge(language, name, papers.pledges.current.version, SCORE.day),
    ]


@pytest.mark.parametrize("language", ["id", "en"])
@pytest.mark.parametrize("url", ["", "https://netra.kabupaten-dengan-nama-panjang.go.id"])
def test_papers_are_one_page_without_time_or_place_of_making(language: str, url: str) -> None:
    """A PDF of one page whose metadata say nothing of when or for whom it was made."""
    for draw in drawings(language, url):
        made = draw()
        assert made.startswith(b"%PDF-") and len(re.findall(rb"/Type /Page\b", made)) == 1
        dates = re.findall(rb"/(?:CreationDate|ModDate) \(D:(\d{4})", made)
        assert set(dates) <= {b"2000"}, "the real time of making is in the file"
        assert b"Wahyu" not in made.split(b"stream")[0]


def test_a_letter_that_the_typeface_lacks_is_printed_plainly() -> None:
    """A name never becomes a row of boxes."""
    from bot.documents import printable

    assert printable("Ĺilian Ḥasan") == "Lilian Hasan"
    assert printable("Nuñez Łukasz") == "Nuñez Łukasz"


# --- verification -------------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_certificate_is_verified_without_a_name(place: Place) -> None:
    """The page says day and score for a genuine code, and that a made-up one is unknown; what is typed is shown inert."""
    code = place.papers.certificates.code(SCORE)
    status, body, _ = await place.get(f"/verifikasi?kode={code}")
    assert status == 200 and b"18/11/2024" in body and b"9 dari 10" in body
    _, body, _ = await place.get("/verifikasi?kode=%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script>alert" not in body and b"tidak kami kenal" in body
    assert (await place.get("/verifikasi"))[0] == 200
    _, body, _ = await place.get(f"/verifikasi?kode={code}", **{"Accept-Language": "en"})
    assert b"9 of 10" in body


@pytest.mark.anyio
async def test_a_pledge_is_verified_by_version_and_mark(place: Place) -> None:
    """The very words are shown for the right mark, nothing for another."""
    pledge = place.papers.pledges.current
    _, body, _ = await place.get(f"/verifikasi?pakta={pledge.version}&tanda={pledge.mark}")
    assert b'class="proof good"' in body and pledge.points[0].text.encode() in body
    _, body, _ = await place.get(f"/verifikasi?pakta={pledge.version}&tanda=000000000000")
    assert b'class="proof bad"' in body and pledge.points[0].text.encode() not in body


# --- poster and picture -------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_poster_names_the_office_and_leads_to_the_bot(place: Place) -> None:
    """The office's name is escaped and cut, and a QR code is drawn."""
    status, body, _ = await place.get("/poster?kantor=Dinas%20%3Cb%3EPendidikan%3C/b%3E" + "%20x" * 100)
    assert status == 200 and b"<b>Pendidikan" not in body and b"&lt;b&gt;Pendidikan" in body
    assert b'<svg class="qr"' in body.replace(b"\n", b"") or b'class="qr"' in body
    assert b"netra.example" in body


@pytest.mark.anyio
async def test_an_answer_is_a_picture_that_a_phone_can_show(place: Place) -> None:
    """Four by five, under 200 KB, drawn once and then kept; an unknown entry is not found."""
    status, body, kind = await place.get(f"/kartu/{LIKE}.png")
    assert (status, kind) == (200, "image/png") and len(body) < 200_000
    assert Image.open(io.BytesIO(body)).size == (1080, 1350)
    english = (await place.get(f"/kartu/{LIKE}.png?bahasa=en"))[1]
    assert english != body and (await place.get(f"/kartu/{LIKE}.png"))[1] is not body
    assert set(place.handouts._cards) == {(LIKE, "id"), (LIKE, "en")}
    for unknown in ("x.y", "..%2F..%2Fetc%2Fpasswd", secrets.token_hex(4)):
        assert (await place.get(f"/kartu/{unknown}.png"))[0] == 404


@pytest.mark.anyio
async def test_pictures_in_memory_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for every picture does not fill the memory."""
    monkeypatch.setattr(type(place.papers.documents), "card", lambda self, language, entry: entry.id.encode())
    for entry in ENTRIES:
        assert (await place.get(f"/kartu/{entry}.png"))[1] == entry.encode()
    assert len(place.handouts._cards) == CARDS_KEPT


@pytest.mark.parametrize("url", ["", "https://netra.example"])
def test_a_shared_answer_carries_its_picture_where_there_is_an_address(machine: Machine, url: str) -> None:
    """Without a public address the line is left out."""
    machine.public_url = url
    talk = Talk(machine).says("/tanya").says("bolehkah saya like postingan calon bupati?").taps("Kirim ke rekan")
    assert (f"https://netra.example/kartu/{LIKE}.png" in talk.text) == bool(url)


# --- when an answer changed -----------------------------------------------------------------------------------------------------------


def other(entry: Entry, **changes: object) -> dict[str, Entry]:
    """The entries with one of them changed."""
    return {**ENTRIES, entry.id: replace(entry, **changes)}  # type: ignore[arg-type]


def test_the_ledger_is_that_of_the_entries() -> None:
    """An answer whose substance was changed is recorded: run `netra faq versions --write`."""
    assert stale(ENTRIES, load_versions()) == []


def test_a_changed_verdict_or_sanction_is_found_and_better_words_are_not() -> None:
    """What a person could rely on counts; wording does not."""
    entry = ENTRIES[LIKE]
    assert compare(ENTRIES, other(entry, short="Lain.", title="Lain", explanation="Lain.")) == []
    (change,) = compare(ENTRIES, other(entry, verdict="boleh"))
    assert (change.entry, change.what, change.before, change.after) == (LIKE, "verdict", "dilarang", "boleh")
    (change,) = compare(ENTRIES, other(entry, sanction=Sanction("a", "b", "c", "d")))
    assert change.what == "sanction" and change.after == "a"
    conditional = next(known for known in ENTRIES.values() if known.conditions)
    turned = replace(conditional.conditions[0], yes=conditional.conditions[0].no, no=conditional.conditions[0].yes)
    (change,) = compare(ENTRIES, other(conditional, conditions=(turned, *conditional.conditions[1:])))
    assert change.what == "outcome"
    without = {name: known for name, known in ENTRIES.items() if name != LIKE}
    assert [change.what for change in compare(ENTRIES, without) + compare(without, ENTRIES)] == ["gone", "new"]


def test_the_ledger_is_renewed_and_written(tmp_path: Path) -> None:
    """Unchanged answers keep their day; a changed one says what changed and since when."""
    before, today = renewed(ENTRIES, {}, dt.date(2026, 1, 1)), dt.date(2026, 12, 1)
    changed = other(ENTRIES[LIKE], verdict="boleh")
    ledger = renewed(changed, before, today, ENTRIES)
    assert ledger[LIKE] == Version(mark(changed[LIKE]), today, ("verdict",))
    assert renewed(changed, before, today)[LIKE].changed == ("answer",)
    assert all(ledger[name] == before[name] for name in ENTRIES if name != LIKE)
    write_versions(ledger, tmp_path / "versions.toml")
    assert load_versions(tmp_path / "versions.toml") == ledger
    assert load_versions(tmp_path / "none.toml") == {}


def test_the_stage_changes_sanctions_once() -> None:
    """Between the day before and the day on which candidates are set, and not later."""
    election = Calendar.load().election()
    eve = election.candidates_set - dt.timedelta(days=1)
    changes = by_stage(ENTRIES.values(), election, eve, election.candidates_set)
    assert LIKE in {change.entry for change in changes} and all(
        change.before != change.after or change.what == "sanction" for change in changes
    )
    assert by_stage(ENTRIES.values(), election, election.candidates_set, election.vote) == []


def test_a_shared_answer_says_when_it_changed(machine: Machine) -> None:
    """A link opens the current answer and says what changed since; an unchanged one says nothing of it."""
    versions = {LIKE: Version("m", dt.date(2024, 11, 1), ("verdict", "sanction"))}
    machine.extra["self_check"] = replace(machine.flows["self_check"], run=self_check(machine.faq, versions))
    talk = Talk(machine).says(f"/start tanya-{LIKE.replace('.', '__')}").hears("self_check.changed")
    assert "01/11/2024" in talk.text and "putusannya, sanksinya" in talk.text
    assert "terakhir berubah" not in Talk(machine).says("/start tanya-pemungutan__mencoblos").text
