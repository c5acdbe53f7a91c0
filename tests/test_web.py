"""The public listener over real HTTP: pages, the chat by form and by JSON, limits, what other sites and odd clients may not do."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from bot.channels import web_chat
from bot.channels.web_chat import COOKIE
from storage.counts import Counts
from storage.practice import Practice
from tests.postgres import fresh_database
from tests.test_evidence import jpeg, saved
from tests.whole import Person, Story, Whole, multipart

pytestmark = pytest.mark.usefixtures("cheap_keys")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """One running program for all tests of this file; each has a person of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LOGIN_OPS", 1), ("LOGIN_MEMORY", 8 << 20), ("RECEIPT_OPS", 1), ("RECEIPT_MEMORY", 8 << 20)):
            patch.setattr(f"storage.vault.{name}", value)
        with Whole(tmp_path_factory.mktemp("whole")) as running:
            yield running


@pytest.fixture
def person(whole: Whole) -> Person:
    """Somebody new."""
    return Person(whole.public)


def field(page: str, name: str) -> str:
    """The value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return found[1] if found else ""


def form(**fields: str) -> bytes:
    """A plain form's body."""
    from urllib.parse import urlencode

    return urlencode(fields).encode()


# --- pages --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/chat", "/privasi", "/statistik"])
@pytest.mark.parametrize("language", ["id", "en-GB,en;q=0.9"])
def test_every_page_stands_alone(person: Person, path: str, language: str) -> None:
    """In both languages, with strict headers, without a script in the page, a foreign address, or a place for anybody's cache."""
    status, page = person.request("GET", path, Accept_Language=language)
    assert status == 200 and page.lower().startswith("<!doctype html>")
    assert f'lang="{language[:2]}"' in page and "{{" not in page and "None" not in page
    headers = person.headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'") and "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"], headers["Cache-Control"]) == (
        "nosniff",
        "no-referrer",
        "no-store",
    )
    assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)", page) and not re.search(r"\son\w+=|javascript:|style=", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


def test_health_and_readiness(person: Person) -> None:
    """Two addresses for whoever watches; they name parts, never contents."""
    assert person.request("GET", "/healthz") == (200, {"status": "ok"})
    status, parts = person.request("GET", "/readyz")
    assert status == 200 and parts["status"] == parts["database"] == parts["keys"] == "ok"


def test_readiness_says_when_the_database_is_gone(whole: Whole, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, with the part's name and the kind of error alone."""

    async def gone(_: object) -> None:
        raise ConnectionError("RAHASIA host")

    monkeypatch.setattr(whole.netra.store, "read", gone)
    status, parts = person.request("GET", "/readyz")
    assert (status, parts["database"]) == (503, "ConnectionError") and "RAHASIA" not in str(parts)


def test_what_is_not_there_is_not_found(person: Person) -> None:
    """With the same headers; no folder can be climbed, no panel is reachable from here."""
    for path in ("/nothing", "/static/../main.py", "/static/%2e%2e/settings.py", "/masuk", "/metrics", "/static/", "/.env", "/chat/x"):
        status, _ = person.request("GET", path)
        assert status in (403, 404), path
        assert person.headers["Content-Security-Policy"]


# --- the chat by plain forms --------------------------------------------------------------------------------------------------------------


def test_the_chat_works_without_a_script(person: Person) -> None:
    """Open the page, choose, type, send a photo; each form is answered by the page again."""
    status, page = person.request("GET", "/chat")
    assert status == 200 and "<form" in page and len(person.token) >= 24
    morsel = person.headers["Set-Cookie"]
    assert "HttpOnly" in morsel and "SameSite=Strict" in morsel and "Path=/" in morsel and "Max-Age" not in morsel
    status, _ = person.request("POST", "/chat", form(text="lapor", nonce=field(page, "nonce")), kind=FORM)
    assert (status, person.headers["Location"]) == (303, "/chat")
    _, page = person.request("GET", "/chat")
    assert "Lapor tanpa nama" in page
    choice = re.search(r'<button[^>]*name="choice"[^>]*value="([^"]+)"', page)
    assert choice is not None
    body, kind = multipart([("choice", choice[1].encode(), ""), ("nonce", field(page, "nonce").encode(), "")], [("photo", b"", "")])
    assert person.request("POST", "/chat", body, kind=kind)[0] == 303
    _, after = person.request("GET", "/chat")
    assert after != page and "<form" in after


def test_the_page_shows_the_same_again(person: Person) -> None:
    """Reloading loses nothing and sends nothing."""
    person.request("GET", "/chat")
    person.request("POST", "/chat", form(text="privasi", nonce="a1"), kind=FORM)
    pages = [re.sub(r'value="[0-9a-f]{17}"', "", person.request("GET", "/chat")[1]) for _ in range(3)]
    assert len(set(pages)) == 1 and "janjikan" in pages[0]


def test_a_form_that_was_sent_twice_is_taken_once(person: Person) -> None:
    """A double click, or "send again" of the browser: one turn, and its answer is still shown."""
    _, page = person.request("GET", "/chat")
    body = form(text="lapor", nonce=field(page, "nonce"))
    for _ in range(3):
        assert person.request("POST", "/chat", body, kind=FORM)[0] == 303
        assert "Pelanggaran apa" in person.request("GET", "/chat")[1]


def test_what_people_write_is_text(person: Person) -> None:
    """Markup in an answer is shown as it was typed."""
    nasty = "<img src=x onerror=alert(1)>'\"><script>alert(2)</script> {{7*7}} *tebal* pada acara calon bupati di kantor"
    story = Story(words={"tip.where": "way jepara", "tip.when": "kemarin", "tip.what": nasty, "tip.who": "<b>camat</b>"})
    _until_summary(person, story)
    assert nasty in person.text
    _, page = person.request("GET", "/chat")
    assert "<img src=x" not in page and "<script>alert" not in page and "&lt;img src=x" in page and "<b>camat" not in page


def _until_summary(person: Person, story: Story) -> None:
    person.says("lapor")
    while "Kirim" not in person.labels:
        person._next(story)


# --- the same as JSON ---------------------------------------------------------------------------------------------------------------------


def test_the_api_answers_as_agreed(person: Person) -> None:
    """`{"messages": [{"text", "choices": [{"id", "label"}]}]}`, a cookie that keeps the conversation, choices that work."""
    answer = person.says("halo")
    assert set(answer) == {"messages"} and all({"text", "choices"} <= set(message) for message in answer["messages"])
    first, token = answer["messages"][-1]["choices"][0], person.token
    assert {"id", "label"} <= set(first)
    person.sends_json(choice=first["id"])
    assert person.token == token and person.text


def test_photos_come_in_one_request_or_several(person: Person) -> None:
    """Several files at once, with a name nobody keeps; a file that is none is refused by name of the reason."""
    story = Story()
    person.tip(story, upto="tip.photos")
    person.sends(jpeg(), saved("PNG"), saved("WEBP"))
    assert "3" in person.text
    person.sends(saved("GIF"))
    assert person.text
    person.sends(saved("JPEG", (300, 200)))
    assert "4" in person.text


def test_an_answer_that_got_lost_comes_again(person: Person) -> None:
    """The same request with the same id is not a second message: it gets its answer, also when that holds the receipt code."""
    story = Story()
    _until_summary(person, story)
    body = {"choice": person.heard["messages"][-1]["choices"][0]["id"], "id": "satu"}
    first = person.sends_json(**body)
    assert len(person.code) == 20
    assert person.sends_json(**body) == first
    assert person.sends_json(**body) == first


def test_requests_of_one_chat_at_once_are_taken_in_turn(whole: Whole) -> None:
    """Ten messages of one person at the same moment: all are answered, none fails."""
    one = Person(whole.public)
    one.says("halo")

    def more(number: int) -> int:
        other = Person(whole.public)
        other.token = one.token
        body = json.dumps({"text": f"halo {number}"}).encode()
        return other.request("POST", "/api/chat", body, kind=JSON, token=one.token)[0]

    with ThreadPoolExecutor(10) as threads:
        assert set(threads.map(more, range(10))) == {200}


def test_a_flood_from_one_chat_is_slowed_and_nobody_else(whole: Whole, person: Person) -> None:
    """429 with one sentence for who floods, 200 for the next person; the page says it kindly."""
    statuses = set()
    person.says("halo")
    for _ in range(40):
        statuses.add(person.request("POST", "/api/chat", b'{"text": "halo"}', kind=JSON)[0])
    assert statuses == {200, 429}
    status, page = person.request("POST", "/chat", form(text="halo"), kind=FORM)
    assert status == 429 and whole.netra.texts.plain("id", "web.busy")[:20] in page
    assert Person(whole.public).request("GET", "/chat")[0] == 200


def test_a_full_disk_is_said_and_costs_nothing_that_was_kept(whole: Whole, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with one sentence while nothing can be written; afterwards the conversation goes on where it was."""
    person.says("lapor")
    asked = person.text

    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    with monkeypatch.context() as disk:
        disk.setattr(whole.netra.worker.conversations, "receive_all", full)
        status, said = person.request("POST", "/api/chat", b'{"text": "3"}', kind=JSON)
        assert status == 503 and "not kept" in said["error"]
        status, page = person.request("POST", "/chat", form(text="3"), kind=FORM)
        assert status == 503 and whole.netra.texts.plain("id", "web.unkept") in page
    person.says("yang bukan pilihan")
    assert asked.splitlines()[-1] in person.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", JSON, 400),
        (b"[1]", JSON, 400),
        (b'"text"', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"{}", JSON + "; charset=nonsense", 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"text": null}', JSON, 200),
        (b'{"text": 5, "choice": null, "language": []}', JSON, 200),
        (b'{"text": {"a": 1}}', JSON, 200),
        (b'{"text": "\\ud800 \\u0000"}', JSON, 200),
        (b"x", "multipart/form-data", 400),
        (b"--a\r\nrubbish", "multipart/form-data; boundary=a", 400),
        (
            b'--a\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"x" * 30_000 + b"\r\n--a--\r\n",
            "multipart/form-data; boundary=a",
            413,
        ),
        (b"x" * 2_000_000, JSON, 413),
        (b"text=" + b"x" * 2_000_000, FORM, 413),
        (b"<a/>", "text/xml", 400),
    ],
)
def test_odd_bodies_are_refused_and_nothing_breaks(person: Person, body: bytes, kind: str, status: int) -> None:
    """Never a 500; a value of a wrong kind counts as absent."""
    got, answer = person.request("POST", "/api/chat", body, kind=kind)
    assert got == status, answer
    if status == 200:
        assert "None" not in str(answer) and "{'a'" not in str(answer)


def test_a_compressed_body_is_refused(person: Person) -> None:
    """A bomb is not unpacked."""
    assert person.request("POST", "/api/chat", b"\x1f\x8b" + bytes(50), kind=JSON, Content_Encoding="gzip")[0] == 415


def test_a_file_that_is_too_large_is_refused_kindly(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is thrown away as it comes; the person reads why, and smaller ones of the same message are kept."""
    monkeypatch.setattr(web_chat, "PHOTO_BYTES", 100_000)
    person.tip(Story(), upto="tip.photos")
    person.sends(bytes(200_000))
    assert "tip.photos" in person.asked or person.text
    person.sends(saved("PNG"), bytes(300_000))
    assert "1" in person.text
    monkeypatch.setattr(web_chat, "REQUEST_BYTES", 1000)
    body, kind = multipart([], [("photo", bytes(2000), "a.jpg")])
    assert person.request("POST", "/api/chat", body, kind=kind)[0] == 413


def test_uploads_do_not_stay_in_memory(whole: Whole, person: Person) -> None:
    """Whatever became of a message, its files are gone from memory after the answer."""
    person.sends(jpeg())
    person.tip(Story(), upto="tip.photos")
    person.sends(jpeg(), saved("GIF"))
    assert whole.netra.web_chat._uploads == {}


# --- other sites, other people ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/chat", "/api/chat"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://jahat.example"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_another_site_cannot_send_in_somebody_s_name(person: Person, path: str, headers: dict[str, str]) -> None:
    """Refused before anything is read."""
    person.request("GET", "/chat")
    assert person.request("POST", path, form(text="batal"), kind=FORM, **headers)[0] == 403


def test_a_chat_belongs_to_its_cookie(whole: Whole, person: Person) -> None:
    """Another cookie is another conversation; a cookie that we would never make is replaced."""
    person.says("lapor")
    assert "Pelanggaran apa" not in Person(whole.public).request("GET", "/chat")[1]
    for odd in ("x", "a b c d e f g h i j k l m n", "../../../etc/passwd-and-more", "é" * 30, "x" * 500):
        other = Person(whole.public)
        status, _ = other.request("GET", "/chat", Cookie=f"{COOKIE}={odd}".encode("latin-1", "replace").decode("latin-1"))
        assert status == 200 and other.token != odd and len(other.token) == 32


def test_behind_https_the_cookie_is_secure(tmp_path: Path) -> None:
    """It is never sent in the clear."""
    with Whole(tmp_path, NETRA_PUBLIC_URL="https://lapor.example") as https:
        https.person.request("GET", "/chat")
        assert "Secure" in https.person.headers["Set-Cookie"]


def test_the_whole_program_runs_on_postgresql(tmp_path: Path, postgres: str) -> None:
    """A tip with a photo from the first word to the code, and the code opens it."""
    with Whole(tmp_path, fresh_database(postgres)) as program:
        code = program.person.tip(Story([jpeg()]))
        assert len(code) == 20
        program.person.says(code[-4:])
        program.person.says(code)
        assert program.netra.texts.plain("id", "follow_up.state.new")[:20] in program.person.text
        assert not list((tmp_path / "data").glob("netra.db*"))


def test_the_public_page_shows_pledges_and_hides_small_numbers(whole: Whole, person: Person) -> None:
    """How many agreed, by role and province; a small number is hidden, and so is the one that would give it away."""
    practice, month = Practice(Counts()), dt.date(2024, 11, 1)
    for role, region, times in (("guru", "18.07", 41), ("pegawai", "32.73", 17), ("warga", "31.71", 2)):
        for _ in range(times):
            whole.netra.store.write_now(partial(practice.agreed, day=month, version="2026-1", role=role, region=region))
    status, text = person.request("GET", "/statistik")
    assert status == 200 and "Pakta" in text and ">60<" in text and ">41<" in text
    assert "<td>17<" not in text and "<td>2</td>" not in text and "disembunyikan" in text


def test_nothing_is_remembered_for_caches(person: Person) -> None:
    """Only the script, the style and the picture may be kept."""
    person.says("halo")
    assert person.headers["Cache-Control"] == "no-store"
    for path in ("/static/chat.js", "/static/netra.css", "/static/netra.svg"):
        assert person.request("GET", path)[0] == 200 and "max-age" in person.headers["Cache-Control"]
