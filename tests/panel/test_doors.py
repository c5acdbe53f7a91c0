"""The doors: who comes in, how, and what they may use."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyotp
import pytest

from panel import ROUTES
from panel.doors import ANYBODY, EVERYONE, HALF, HEADERS, Route, Throttle
from storage.staff import ROLES
from tests.panel.conftest import PASSPHRASE, Browser, House, picture

Open = Callable[[House], Browser]


@dataclass(frozen=True)
class Filled:
    """A panel with one account of each role, and a tip to ask for."""

    house: House
    case: str
    photo: str

    def path(self, route: Route) -> str:
        """The route's address with names that exist, or that nobody has where the action would end something."""
        names = {
            "name": "panel.css",
            "token": "t" * 43,
            "case": self.case,
            "photo": self.photo,
            "account": "00" * 16,
            "approval": "00" * 16,
            "number": "1",
            "view": "00" * 16,
            "phrasing": "00" * 16,
        }
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], route.path)


@pytest.fixture
def filled(house: House) -> Filled:
    """One account of each role in the shipped configuration, and a tip with a photo."""
    for role in ROLES:
        house.account(role, role)
    house.account("everything", " ".join(ROLES))
    case, receipt = house.tip(photos=(picture(),))
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    return Filled(house, case.hex(), opened.entries[0].photos[0])


def test_every_route_of_the_application_stands_in_the_table(house: House) -> None:
    """The application serves exactly the listed routes, so that none is without a rule."""
    served = {(route.method, route.resource.canonical) for route in house.app.router.routes() if route.resource is not None}
    assert served == {(route.method, route.path) for route in ROUTES}
    assert len(ROUTES) == len(served)


def test_the_role_matrix_holds_on_every_route(filled: Filled, browser: Open) -> None:
    """Each role may use what the table gives it, and is refused everything else."""
    wrong = []
    for role in ROLES:
        staff = browser(filled.house)
        assert staff.login(role).status == 200
        for route in ROUTES:
            if route.who in (ANYBODY, HALF):
                continue
            staff.get("/saya")
            answer = staff.get(filled.path(route)) if route.method == "GET" else staff.post(filled.path(route), follow=False)
            allowed = role in route.who
            if (answer.status == 403) == allowed:
                wrong.append((role, route.method, route.path, answer.status))
    assert wrong == []


def test_the_matrix_itself_keeps_tips_from_admins_and_auditors() -> None:
    """Reading tips is for reviewers and verifiers alone; the audit log for auditors; accounts for admins."""
    for route in ROUTES:
        if route.path.startswith("/laporan"):
            assert route.who <= {"reviewer", "verifier"}, route
        if route.path.startswith("/audit"):
            assert route.who == {"auditor"}, route
        if route.path in ("/tim/undang", "/tim/{account}/hapus", "/tim/{account}/peran", "/tim/tim"):
            assert route.who == {"admin"}, route
        if route.method != "GET" and route.who == ANYBODY:
            assert route.path in ("/masuk", "/undangan/{token}", "/bahasa", "/keluar"), route


def test_nothing_opens_without_a_session(filled: Filled, browser: Open) -> None:
    """Without a cookie, and with one that nobody gave out, every page leads to the door and every action is refused."""
    for cookie in ({}, {"__Host-netra": "A" * 86}, {"__Host-netra": "not base64 !"}, {"netra_panel": "A" * 86}):
        stranger = browser(filled.house)
        for route in ROUTES:
            if route.who == ANYBODY:
                continue
            stranger.cookies = dict(cookie)
            answer = stranger.request(route.method, filled.path(route), {} if route.method == "POST" else None)
            if route.method == "GET":
                assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/masuk"), route
            else:
                assert answer.status == 403, route


def half_session(house: House, browser: Open, name: str) -> Browser:
    """A browser that has given its passphrase and not its second factor."""
    staff = browser(house)
    staff.get("/masuk")
    staff.post("/masuk", {"name": name, "passphrase": PASSPHRASE})
    return staff


def test_a_half_session_opens_nothing_but_its_own_door(filled: Filled, browser: Open) -> None:
    """A passphrase without the second factor leads to the second factor and nowhere else, in the shipped configuration."""
    staff = half_session(filled.house, browser, "everything")
    for route in ROUTES:
        if route.who in (ANYBODY, HALF):
            continue
        staff.get("/masuk/pengaman")
        answer = staff.request("GET", filled.path(route)) if route.method == "GET" else staff.post(filled.path(route), follow=False)
        assert answer.status == 303 and answer.headers["Location"].startswith("/masuk/"), route
    staff.get("/masuk/pengaman")
    assert staff.post("/masuk/pengaman/nanti", follow=False).status == 403


def posting(filled: Filled, browser: Open) -> Iterator[tuple[Route, Browser]]:
    """Every state change, with a browser that could do it."""
    whole, half, stranger = browser(filled.house), half_session(filled.house, browser, "admin"), browser(filled.house)
    whole.login("everything")
    for route in ROUTES:
        if route.method == "GET":
            continue
        if route.who == ANYBODY:
            stranger.get("/masuk")
            yield route, stranger
        elif route.who == HALF:
            half.get("/masuk/pengaman")
            yield route, half
        else:
            whole.get("/saya")
            yield route, whole


def test_every_state_change_needs_its_token_and_its_origin(filled: Filled, browser: Open) -> None:
    """A form without our token, with a stale one, or from another place is refused, on every route that changes anything."""
    for route, staff in posting(filled, browser):
        path, token = filled.path(route), staff.page.field("csrf")
        assert token, route
        ours = {"Origin": filled.house.url, "Sec-Fetch-Site": "same-origin"}
        refused = [
            ({}, ours),
            ({"csrf": ""}, ours),
            ({"csrf": "0" * 64}, ours),
            ({"csrf": token}, {"Origin": "https://evil.example"}),
            ({"csrf": token}, {"Origin": filled.house.url, "Sec-Fetch-Site": "cross-site"}),
            ({"csrf": token}, {"Origin": filled.house.url, "Sec-Fetch-Site": "same-site"}),
            ({"csrf": token}, {"Origin": "null"}),
            ({"csrf": token}, {}),
        ]
        for data, headers in refused:
            assert staff.request("POST", path, data, headers=headers).status == 403, (route, data, headers)


def test_a_token_of_one_session_does_not_serve_another(filled: Filled, browser: Open) -> None:
    """A token belongs to its session."""
    one, other = browser(filled.house), browser(filled.house)
    one.login("reviewer")
    other.login("verifier")
    token = one.get("/saya").field("csrf")
    other.get("/saya")
    assert other.post("/laporan/ambil", csrf=token, follow=False).status == 403


def test_every_answer_carries_the_strict_headers(filled: Filled, browser: Open) -> None:
    """Pages, pictures, redirects, refusals and what does not exist: all leave with the same headers."""
    staff = browser(filled.house)
    staff.login("everything")
    paths = [filled.path(route) for route in ROUTES if route.method == "GET"] + ["/", "/nothing/here", "/laporan/zz", "/static/../x"]
    for path in paths:
        answer = staff.request("GET", path)
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, (path, name)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    refused = staff.request("POST", "/laporan/ambil", {})
    assert refused.headers["Cache-Control"] == "no-store" and refused.status == 403


def test_an_unknown_name_gets_the_answer_of_a_wrong_passphrase(house: House, browser: Open) -> None:
    """Nobody learns from the door which accounts there are."""
    house.account("rina", "reviewer")
    pages = []
    for name in ("rina", "nobody"):
        stranger = browser(house)
        stranger.get("/masuk")
        page = stranger.post("/masuk", {"name": name, "passphrase": "salah sekali salah sekali"})
        pages.append((page.status, re.sub(r'value="[^"]*"', "", page.text)))
    assert pages[0] == pages[1] and pages[0][0] == 401


def test_the_doors_slow_down_whoever_guesses(house: House, browser: Open) -> None:
    """After a few failures the next try has to wait, even with the right passphrase, for known and unknown names alike."""
    house.account("rina", "reviewer")
    for name in ("rina", "nobody"):
        stranger = browser(house)
        answers = []
        for _ in range(5):
            stranger.get("/masuk")
            answers.append(stranger.post("/masuk", {"name": name, "passphrase": "salah sekali salah sekali"}).status)
        assert 429 in answers
    assert len(house.acts("login_failed")) < 10


def test_delays_grow_and_are_forgotten() -> None:
    """Each failure after the free ones doubles the wait, up to a limit; an hour later it is forgotten."""
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    waits = []
    for _ in range(16):
        throttle.failed("rina")
        waits.append(throttle.wait("rina"))
    assert waits[:3] == [0, 0, 2] and waits == sorted(waits) and waits[-1] == Throttle.LONGEST + 1
    assert throttle.wait("budi") == 0
    now[0] += Throttle.FORGET + 1
    throttle.failed("rina")
    assert throttle.wait("rina") == 0


def test_a_code_counts_once_however_it_is_written(house: House, browser: Open) -> None:
    """A time step is used up by its first use: again, padded, spaced or after a failure, it is refused."""
    house.account("rina", "reviewer")
    first = browser(house)
    first.login("rina")
    house.clock.forward(seconds=60)
    code = first.code("rina")
    taken = half_session(house, browser, "rina")
    assert taken.post("/masuk/kode", {"code": f" {code[:3]} {code[3:]} "}).status == 200
    arabic = code.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    for written in (code, f" {code}", f"{code[:3]} {code[3:]}", f"{code}\n", f"0{code}", arabic):
        again = half_session(house, browser, "rina")
        assert again.post("/masuk/kode", {"code": "000000" if code != "000000" else "111111"}, follow=False).status in (401, 429)
        assert again.post("/masuk/kode", {"code": written}, follow=False).status in (401, 429), written


def test_an_older_code_does_not_count_after_a_newer_one(house: House) -> None:
    """Once a step was used, the steps before it are used up as well."""
    house.account("rina", "reviewer")
    account = house.store.read_now(partial(house.staff.find, name="rina"))
    assert account is not None
    cookie = house.store.write_now(partial(house.staff.begin, staff_id=account.id, private_key=bytes(32), factor=False))
    session = house.store.read_now(partial(house.staff.session, cookie=cookie))
    assert session is not None
    secret = house.store.write_now(partial(house.staff.propose_totp, session=session))
    session = house.store.read_now(partial(house.staff.session, cookie=cookie))
    assert session is not None
    codes = [pyotp.TOTP(secret).at(house.clock(), counter_offset=offset) for offset in (-1, 0, 1)]
    assert house.store.write_now(partial(house.staff.confirm_totp, session=session, code=codes[2]))
    account = house.store.read_now(partial(house.staff.find, name="rina"))
    assert account is not None
    for code in codes:
        assert not house.store.write_now(partial(house.staff.take_code, account=account, code=code))


def test_the_cookie_is_new_after_each_door_and_the_old_one_dead(house: House, browser: Open) -> None:
    """The session changes its name when it gains power, so that a planted or noticed cookie is worth nothing."""
    house.account("rina", "reviewer")
    browser(house).login("rina")
    staff = half_session(house, browser, "rina")
    half = dict(staff.cookies)
    house.clock.forward(seconds=60)
    staff.post("/masuk/kode", {"code": staff.code("rina")})
    assert staff.cookies["__Host-netra"] != half["__Host-netra"]
    assert staff.get("/laporan").status == 200
    stale = browser(house)
    stale.cookies = half
    assert stale.request("GET", "/laporan").headers["Location"].startswith("/masuk")


def test_cookies_are_secure_where_it_matters(build: Callable[..., House], browser: Open) -> None:
    """The shipped configuration's cookie is __Host-, Secure, HttpOnly and SameSite=Strict; practice on plain HTTP leaves Secure out."""
    for practice, name, secure in ((False, "__Host-door", True), (True, "door_panel", False)):
        house = build(practice=practice)
        answer = browser(house).request("GET", "/masuk")
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"{name}=") and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
        assert ("Secure" in cookie) == secure


def test_a_session_ends_when_idle_and_when_old(house: House, browser: Open) -> None:
    """Twenty idle minutes or ten hours end a session, whatever its cookie says."""
    house.account("rina", "reviewer")
    staff = browser(house)
    staff.login("rina")
    house.clock.forward(minutes=21)
    assert staff.request("GET", "/laporan").status == 303
    staff.login("rina")
    for _ in range(40):
        house.clock.forward(minutes=15)
        answer = staff.request("GET", "/laporan")
        if answer.status == 303:
            break
    else:
        raise AssertionError("a session outlived ten hours")
    assert house.clock().hour >= 19


def test_one_sees_and_ends_ones_own_sessions(house: House, browser: Open) -> None:
    """The account page lists one's sessions and ends one of them; nobody ends another person's."""
    house.account("rina", "reviewer")
    house.account("budi", "reviewer")
    laptop, phone, other = browser(house), browser(house), browser(house)
    laptop.login("rina")
    phone.login("rina")
    other.login("budi")
    page = laptop.get("/saya")
    named = re.findall(r'name="session" value="(\w+)"', page.text)
    assert len(named) == 1
    other.get("/saya")
    assert other.post("/saya/sesi", {"session": named[0]}, follow=False).status == 404
    laptop.get("/saya")
    assert laptop.post("/saya/sesi", {"session": named[0]}).status == 200
    assert phone.request("GET", "/laporan").status == 303
    assert laptop.get("/laporan").status == 200


def test_logging_out_is_a_post_that_clears_the_browser(house: House, browser: Open) -> None:
    """Logging out ends the session here and has the browser forget what it holds."""
    house.account("rina", "reviewer")
    staff = browser(house)
    staff.login("rina")
    cookies = dict(staff.cookies)
    assert staff.request("GET", "/keluar").status == 405
    staff.get("/saya")
    answer = staff.post("/keluar", follow=False)
    assert '"cookies"' in answer.headers["Clear-Site-Data"]
    staff.cookies = cookies
    assert staff.request("GET", "/laporan").status == 303


def test_a_new_passphrase_asks_for_the_old_one_and_ends_other_sessions(house: House, browser: Open) -> None:
    """The keypair stays, so that old tips stay readable; sessions elsewhere end; the old passphrase is dead."""
    house.account("rina", "reviewer")
    case, _ = house.tip()
    staff, elsewhere = browser(house), browser(house)
    elsewhere.login("rina")
    staff.login("rina")
    house.clock.forward(seconds=60)
    new = "tujuh gajah biru menari pelan"
    staff.get("/saya")
    wrong = {"present": "bukan yang ini bukan", "passphrase": new, "again": new, "code": staff.code("rina")}
    assert staff.post("/saya/sandi", wrong).status == 400
    staff.get("/saya")
    short = {"present": PASSPHRASE, "passphrase": "pendek", "again": "pendek", "code": staff.code("rina")}
    assert staff.post("/saya/sandi", short).status == 400
    staff.get("/saya")
    right = {"present": PASSPHRASE, "passphrase": new, "again": new, "code": staff.code("rina")}
    assert staff.post("/saya/sandi", right).status == 200
    assert elsewhere.request("GET", "/laporan").status == 303
    assert staff.get(f"/laporan/{case.hex()}").status == 200
    later = browser(house)
    later.get("/masuk")
    assert later.post("/masuk", {"name": "rina", "passphrase": PASSPHRASE}).status == 401
    later.get("/masuk")
    house.clock.forward(seconds=60)
    later.post("/masuk", {"name": "rina", "passphrase": new})
    later.post("/masuk/kode", {"code": later.code("rina")})
    assert later.get(f"/laporan/{case.hex()}").status == 200


def test_a_dangerous_action_asks_for_a_fresh_code(house: House, browser: Open) -> None:
    """Minutes after the login, inviting somebody needs a code again; a wrong one changes nothing."""
    house.account("boss", "admin")
    staff = browser(house)
    staff.login("boss")
    house.clock.forward(minutes=6)
    staff.get("/tim")
    person = {"name": "sari", "role": "auditor", "team": ""}
    assert staff.post("/tim/undang", person).status == 401
    staff.get("/tim")
    assert staff.post("/tim/undang", person | {"code": "000000" if staff.code("boss") != "000000" else "111111"}).status == 401
    house.clock.forward(seconds=60)
    staff.get("/tim")
    assert "/undangan/" in staff.post("/tim/undang", person | {"code": staff.code("boss")}).text


def test_the_language_is_chosen_and_leads_nowhere_else(house: House, browser: Open) -> None:
    """English where it is wanted; the way back stays on this site."""
    stranger = browser(house)
    assert "Masuk" in stranger.get("/masuk").text
    answer = stranger.post("/bahasa", {"language": "en", "back": "//evil.example/x"}, follow=False)
    assert answer.headers["Location"] == "/"
    assert "Sign in" in stranger.get("/masuk").text
    for back in ("https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        stranger.get("/masuk")
        assert stranger.post("/bahasa", {"language": "id", "back": back}, follow=False).headers["Location"] == "/"


def test_no_half_of_a_cookie_stands_in_the_database(house: House, browser: Open) -> None:
    """Whoever has the data folder cannot take over a session or open a receiver's key."""
    house.account("rina", "reviewer")
    staff = browser(house)
    staff.login("rina")
    halves = base64.urlsafe_b64decode(staff.cookies["__Host-netra"] + "==")
    raw = b"".join(path.read_bytes() for path in _files(house))
    assert halves[:32] not in raw and halves[32:] not in raw
    assert PASSPHRASE.encode() not in raw and staff.house.secrets["rina"].encode() not in raw


def _files(house: House) -> list[Path]:
    database = Path(house.store.url.removeprefix("sqlite:///"))
    return [path for path in database.parent.iterdir() if path.name.startswith("netra.db")]


def test_everyone_finds_a_first_page(filled: Filled, browser: Open) -> None:
    """Each role lands on a page of its own after logging in."""
    for role in ROLES:
        assert browser(filled.house).login(role).status == 200
    assert set(ROLES) <= EVERYONE
