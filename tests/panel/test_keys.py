"""Security keys at the doors: who needs one, what is refused, and what becomes of lost ones."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from panel.doors import GATE
from storage.security_keys import CHALLENGE_SECONDS, KEYS_AT_MOST, keys_of
from tests.panel.authenticator import PRESENT, VERIFIED, SoftKey
from tests.panel.conftest import PASSPHRASE, Browser, House

Open = Callable[[House], Browser]


def knocking(house: House, browser: Open, name: str) -> Browser:
    """A browser that has given its passphrase and stands before the second door."""
    staff = browser(house)
    staff.name = name
    staff.get("/masuk")
    staff.post("/masuk", {"name": name, "passphrase": PASSPHRASE})
    return staff


@pytest.fixture
def boss(house: House, browser: Open) -> Browser:
    """An admin with a registered key, signed in."""
    house.account("boss", "admin")
    staff = browser(house)
    assert staff.login("boss").status == 200
    return staff


@pytest.mark.parametrize("role", ["admin", "broadcaster", "approver"])
def test_who_reaches_everybody_signs_in_with_a_key(house: House, browser: Open, role: str) -> None:
    """At the first login in production these roles register a key; there is no other way in, and afterwards none without it."""
    house.account("orang", role)
    staff = knocking(house, browser, "orang")
    assert "data-new-key" in staff.page.text and "JavaScript" in staff.page.text
    for way in ("/masuk/pengaman", "/masuk/kode", "/", "/saya", "/saya/kunci"):
        answer = staff.request("GET", way)
        assert (answer.status, answer.headers["Location"]) == (303, "/masuk/kunci/baru"), way
    assert staff.post("/masuk/pengaman/nanti", follow=False).status in (303, 403)
    assert staff.request("GET", "/saya").status == 303
    half = dict(staff.cookies)
    key = house.keys["orang"] = SoftKey(house.origin)
    staff.get("/masuk/kunci/baru")
    assert staff.post("/masuk/kunci/baru", {"name": "kunci saya", "key": key.create(staff.page.question)}).status == 200
    assert staff.cookies["__Host-netra"] != half["__Host-netra"]
    assert "kunci saya" in staff.get("/saya").text
    again = knocking(house, browser, "orang")
    assert "data-new-key" not in again.page.text
    assert again.get("/masuk/kunci/baru").question["allowCredentials"]
    assert again.post("/masuk/kunci", {"key": key.get(again.page.question)}).status == 200
    assert again.get("/saya").status == 200
    assert [act.detail for act in house.acts("login")][:2] == ["security_key", "first_factor"]


def test_practice_asks_nobody_for_a_key(build: Callable[..., House], browser: Open) -> None:
    """An admin who tries Netra out gets in without one, and may register one all the same."""
    house = build(practice=True)
    house.account("boss", "admin")
    staff = knocking(house, browser, "boss")
    assert staff.post("/masuk/pengaman/nanti").status == 200
    assert staff.get("/tim").status == 200
    key = SoftKey(house.origin)
    staff.get("/masuk/kunci/baru")
    assert staff.post("/masuk/kunci/baru", {"name": "uji", "key": key.create(staff.page.question)}).status == 200
    again = knocking(house, browser, "boss")
    assert again.post("/masuk/pengaman/nanti", follow=False).status == 403
    again.get("/masuk/kunci")
    assert again.post("/masuk/kunci", {"key": key.get(again.page.question)}).status == 200


def test_a_reviewer_may_choose_a_key_an_app_or_both(house: House, browser: Open) -> None:
    """For roles that need none a key serves in place of the app; who has both signs in with either."""
    house.account("rina", "reviewer")
    staff = knocking(house, browser, "rina")
    assert "pengaman.svg" in staff.page.text
    key = house.keys["rina"] = SoftKey(house.origin)
    assert "/masuk/pengaman" in staff.get("/masuk/kunci/baru").text
    assert staff.post("/masuk/kunci/baru", {"name": "", "key": key.create(staff.page.question)}).status == 200
    staff = knocking(house, browser, "rina")
    assert staff.get("/masuk/kode").question and staff.get("/masuk/pengaman").question
    assert staff.post("/masuk/kode", {"code": "123456"}, follow=False).status == 401
    house.account("budi", "reviewer")
    both = browser(house)
    both.login("budi")
    both.get("/saya/kunci")
    house.keys["budi"] = SoftKey(house.origin)
    form = {"name": "cadangan", "present": PASSPHRASE, "key": house.keys["budi"].create(both.page.question)}
    assert "cadangan" in both.post("/saya/kunci", form).text
    one = knocking(house, browser, "budi")
    assert "/masuk/kode" in one.page.text
    house.clock.forward(seconds=60)
    secret = house.keys.pop("budi")
    one.get("/masuk/kode")
    assert one.post("/masuk/kode", {"code": one.code("budi")}).status == 200
    other = knocking(house, browser, "budi")
    assert other.post("/masuk/kunci", {"key": secret.get(other.page.question)}).status == 200


def test_what_a_forger_sends_is_refused(house: House, browser: Open, boss: Browser) -> None:
    """Another key's signature, another site, a key nobody touched, another person's credential, the wrong ceremony: none opens."""
    key = house.keys["boss"]
    house.account("lain", "admin")
    browser(house).login("lain")
    other = house.keys["lain"]
    signed = SoftKey(house.origin, credential=key.credential, handle=key.handle)
    forgeries: dict[str, Callable[[Browser], str]] = {
        "another key behind the same name": lambda staff: replace(signed, counter=90).get(staff.page.question),
        "another site": lambda staff: replace(key, origin="https://panel-netra.example", counter=90).get(staff.page.question),
        "another port": lambda staff: replace(key, origin="http://localhost:1", counter=90).get(staff.page.question),
        "another rp": lambda staff: replace(key, rp_id="netra.example", counter=90).get(staff.page.question),
        "not verified": lambda staff: replace(key, flags=PRESENT, counter=90).get(staff.page.question),
        "not touched": lambda staff: replace(key, flags=VERIFIED, counter=90).get(staff.page.question),
        "another person's key": lambda staff: replace(other, counter=90).get(staff.page.question),
        "another person's handle": lambda staff: replace(key, handle=other.handle, counter=90).get(staff.page.question),
        "a challenge of one's own": lambda staff: replace(key, counter=90).get({"challenge": "A" * 43}),
        "a registration": lambda staff: replace(key).create(staff.page.question | {"user": {"id": key.handle}}),
        "nothing": lambda staff: "",
        "no JSON": lambda staff: "{",
        "a list": lambda staff: "[]",
        "other types": lambda staff: json.dumps({"id": key.get(staff.page.question)[:60], "response": [], "rawId": 1}),
        "deep": lambda staff: "[" * 5000,
        "long": lambda staff: "x" * 100_000,
    }
    for name, forged in forgeries.items():
        staff = knocking(house, browser, "boss")
        _forget_failures(house)
        assert staff.post("/masuk/kunci", {"key": forged(staff)}, follow=False).status == 401, name
        assert staff.request("GET", "/saya").headers["Location"] == "/masuk/kunci", name
    _forget_failures(house)
    staff = knocking(house, browser, "boss")
    assert staff.post("/masuk/kunci", {"key": key.get(staff.page.question)}).status == 200


def _forget_failures(house: House) -> None:
    """The doors' delays are tested elsewhere."""
    house.app[GATE].throttle._failed.clear()


def test_an_answer_counts_once_in_its_own_session(house: House, browser: Open, boss: Browser) -> None:
    """Replayed, taken to another session, answered too late, or after a failure: the challenge is dead."""
    key = house.keys["boss"]
    staff = knocking(house, browser, "boss")
    answer = key.get(staff.page.question)
    other = knocking(house, browser, "boss")
    assert other.page.question["challenge"] != staff.page.question["challenge"]
    assert other.post("/masuk/kunci", {"key": answer}, follow=False).status == 401
    assert staff.post("/masuk/kunci", {"key": answer}, follow=False).status == 303
    stolen = knocking(house, browser, "boss")
    assert stolen.post("/masuk/kunci", {"key": answer}, follow=False).status == 401

    failed = knocking(house, browser, "boss")
    asked = failed.page.question
    failed.post("/masuk/kunci", {"key": "{}"}, follow=False)
    assert failed.post("/masuk/kunci", {"key": key.get(asked)}, follow=False).status == 401
    _forget_failures(house)
    assert failed.post("/masuk/kunci", {"key": key.get(failed.page.question)}, follow=False).status == 303

    late = knocking(house, browser, "boss")
    answer = key.get(late.page.question)
    house.clock.forward(seconds=2 * CHALLENGE_SECONDS)
    assert late.post("/masuk/kunci", {"key": answer}, follow=False).status == 401


def test_a_copied_key_is_noticed(house: House, browser: Open, boss: Browser) -> None:
    """A counter that does not grow means two keys with one name: refused, and on record. Keys without a counter are taken."""
    key = house.keys["boss"]
    copy = replace(key)
    staff = knocking(house, browser, "boss")
    assert staff.post("/masuk/kunci", {"key": key.get(staff.page.question)}).status == 200
    thief = knocking(house, browser, "boss")
    assert thief.post("/masuk/kunci", {"key": copy.get(thief.page.question)}, follow=False).status == 401
    assert house.acts("key_failed")[0].actor == "boss"

    house.account("tanpa", "admin")
    silent = house.keys["tanpa"] = SoftKey(house.origin, counter=-1)
    staff = knocking(house, browser, "tanpa")
    silent.counter = 0
    staff.post("/masuk/kunci/baru", {"name": "a", "key": silent.create(staff.page.question)})
    for _ in range(2):
        silent.counter = -1
        staff = knocking(house, browser, "tanpa")
        assert staff.post("/masuk/kunci", {"key": silent.get(staff.page.question)}).status == 200


def test_a_passphrase_alone_registers_no_key_for_somebody_with_an_app(house: House, browser: Open) -> None:
    """Who is given a role that needs a key proves the app first; a thief with the passphrase does not get to register theirs."""
    sari = house.account("sari", "auditor")
    browser(house).login("sari")
    house.store.write_now(lambda connection: house.staff.change_roles(connection, sari, ["auditor", "approver"], 1))
    staff = knocking(house, browser, "sari")
    key = SoftKey(house.origin)
    assert "data-new-key" not in staff.get("/masuk/kunci/baru").text
    assert staff.post("/masuk/kunci/baru", {"name": "x", "key": "{}"}, follow=False).status == 403
    house.clock.forward(seconds=60)
    staff.get("/masuk/kode")
    page = staff.post("/masuk/kode", {"code": staff.code("sari")})
    assert "data-new-key" in page.text and staff.request("GET", "/saya").status == 303
    assert staff.post("/masuk/kunci/baru", {"name": "x", "key": key.create(page.question)}).status == 200
    house.clock.forward(seconds=60)
    again = knocking(house, browser, "sari")
    assert again.post("/masuk/kode", {"code": again.code("sari")}, follow=False).status == 401
    assert again.request("GET", "/saya").status == 303


def test_a_dangerous_action_asks_for_the_key_again(house: House, browser: Open, boss: Browser) -> None:
    """Minutes after the login the form itself asks for the key; without its answer, or with a forged one, nothing happens."""
    house.clock.forward(minutes=6)
    page = boss.get("/tim")
    assert page.question and 'name="code"' not in page.text
    person = {"name": "sari", "role": "auditor", "team": ""}
    assert boss.post("/tim/undang", person | {"code": "123456"}).status == 401
    boss.get("/tim")
    forged = SoftKey("https://evil.example", credential=house.keys["boss"].credential).get(boss.page.question)
    assert boss.post("/tim/undang", person | {"key": forged}).status == 401
    assert "/undangan/" not in boss.page.text
    answer = house.keys["boss"].get(boss.page.question)
    assert "/undangan/" in boss.post("/tim/undang", person | {"key": answer}).text


def test_ones_own_keys_are_added_and_removed_with_everything_asked_again(house: House, browser: Open, boss: Browser) -> None:
    """A further key needs the passphrase and the present key; other sessions end; the last key stays; nobody touches another's."""
    elsewhere = browser(house)
    elsewhere.login("boss")
    house.clock.forward(minutes=6)
    page = boss.get("/saya/kunci")
    assert "data-new-key" not in page.text
    assert boss.post("/saya/kunci", {"name": "dua", "present": PASSPHRASE, "key": "{}"}).status == 200
    assert "dua" not in boss.get("/saya").text
    boss.get("/saya/kunci")
    page = boss.post("/saya/kunci/lagi", {"code": ""})
    assert "data-new-key" in page.text
    second = SoftKey(house.origin)
    wrong = {"name": "dua", "present": "bukan frasa yang benar ini", "key": second.create(page.question)}
    assert boss.post("/saya/kunci", wrong).status == 400
    again = {"name": "dua", "present": PASSPHRASE, "key": house.keys["boss"].create(boss.page.question)}
    assert "tidak diterima" in boss.post("/saya/kunci", again).text
    boss.get("/saya/kunci")
    page = boss.post("/saya/kunci", {"name": "dua", "present": PASSPHRASE, "key": second.create(boss.page.question)})
    assert "dua" in page.text and elsewhere.request("GET", "/saya").status == 303

    house.account("lain", "admin")
    other = browser(house)
    other.login("lain")
    account = house.store.read_now(lambda connection: house.staff.find(connection, "boss"))
    assert account is not None

    def kept() -> list[tuple[bytes, str]]:
        return [(key.id, key.name) for key in house.store.read_now(lambda connection: keys_of(connection, account.id))]

    ids = {name: key for key, name in kept()}
    other.get("/saya/kunci")
    third = SoftKey(house.origin)
    other.post("/saya/kunci", {"name": "b", "present": PASSPHRASE, "key": third.create(other.page.question)})
    other.get("/saya")
    assert other.post("/saya/kunci/hapus", {"id": ids["dua"].hex(), "present": PASSPHRASE}, follow=False).status == 404
    boss.get("/saya")
    assert boss.post("/saya/kunci/hapus", {"id": ids["kunci"].hex(), "present": "salah salah salah salah"}).status == 400
    boss.get("/saya")
    assert boss.post("/saya/kunci/hapus", {"id": ids["kunci"].hex(), "present": PASSPHRASE}).status == 200
    boss.get("/saya")
    assert boss.post("/saya/kunci/hapus", {"id": ids["dua"].hex(), "present": PASSPHRASE}).status == 400
    assert [name for _, name in kept()] == ["dua"]


def test_keys_are_not_piled_up(house: House, browser: Open, boss: Browser) -> None:
    """An account has a few keys, not any number."""
    for number in range(KEYS_AT_MOST):
        boss.get("/saya/kunci")
        form = {"name": f"k{number}", "present": PASSPHRASE, "key": SoftKey(house.origin).create(boss.page.question)}
        text = boss.post("/saya/kunci", form).text
        assert ("tidak diterima" in text) == (number == KEYS_AT_MOST - 1)


def test_a_lost_key_is_reset_at_the_machine(house: House, browser: Open, boss: Browser) -> None:
    """The reset ends the sessions and forgets the factors; the passphrase then leads to registering a new key, and nowhere else."""
    account = house.store.read_now(lambda connection: house.staff.find(connection, "boss"))
    assert account is not None
    assert house.store.write_now(lambda connection: house.staff.reset_factor(connection, account.id)) == 1
    assert boss.request("GET", "/saya").status == 303
    lost = house.keys.pop("boss")
    staff = knocking(house, browser, "boss")
    assert "data-new-key" in staff.page.text
    assert staff.post("/masuk/kunci", {"key": lost.get({"challenge": secrets.token_urlsafe(32)})}, follow=False).status in (303, 401)
    new = SoftKey(house.origin)
    staff.get("/masuk/kunci/baru")
    assert staff.post("/masuk/kunci/baru", {"name": "baru", "key": new.create(staff.page.question)}).status == 200


def test_guessing_at_the_second_door_is_slowed_down(house: House, browser: Open, boss: Browser) -> None:
    """After a few refused answers the next has to wait, even a right one."""
    answers = []
    for _ in range(5):
        staff = knocking(house, browser, "boss")
        answers.append(staff.post("/masuk/kunci", {"key": "{}"}, follow=False).status)
    assert 429 in answers


def test_keys_are_bound_to_the_configured_address(build: Callable[..., House], browser: Open) -> None:
    """The page names the address where keys work, and never takes it from the request."""
    house = build(url="https://panel.bawaslu.example")
    house.account("boss", "admin")
    staff = knocking(house, browser, "boss")
    assert staff.page.question["rp"]["id"] == "panel.bawaslu.example"
    assert "https://panel.bawaslu.example" in staff.page.text
    here = SoftKey(house.url, rp_id="127.0.0.1")
    assert "tidak diterima" in staff.post("/masuk/kunci/baru", {"name": "a", "key": here.create(staff.page.question)}).text
    staff.get("/masuk/kunci/baru")
    there = SoftKey("https://panel.bawaslu.example", rp_id="panel.bawaslu.example")
    assert staff.post("/masuk/kunci/baru", {"name": "a", "key": there.create(staff.page.question)}).status == 200
