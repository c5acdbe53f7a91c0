"""Accounts: invitations, new receivers, removals."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import delete, select, update

from storage import staff as accounts
from storage.models import Invitation, Seal, SignedReceivers, Staff
from storage.staff import Refused, weakness
from storage.vault import derive_passphrase, open_signing_key
from tests.panel.conftest import PASSPHRASE, Browser, House

Open = Callable[[House], Browser]


def invited(admin: Browser, name: str, role: str, team: str = "1") -> str:
    """The path of a new invitation's link."""
    admin.house.clock.forward(minutes=2)
    admin.get("/tim")
    page = admin.post("/tim/undang", {"name": name, "role": role, "team": team, "code": admin.code("boss")})
    found = re.search(r"/undangan/[\w-]+", page.text)
    assert found is not None, page.text
    return found[0]


@pytest.fixture
def boss(house: House, browser: Open) -> Browser:
    """An admin of the central team, signed in; a receiver and an auditor are there too."""
    house.account("boss", "admin")
    house.account("rina", "reviewer")
    house.account("maya", "auditor")
    found = browser(house)
    found.login("boss")
    return found


def join(house: House, browser: Open, link: str) -> Browser:
    """Open an invitation and choose the usual passphrase."""
    found = browser(house)
    found.get(link)
    found.post(link, {"passphrase": PASSPHRASE, "again": PASSPHRASE})
    return found


def test_an_invitation_is_used_once_and_dies_in_two_days(house: House, browser: Open, boss: Browser) -> None:
    """The link makes one account, with the second factor set up at once; again, and after 48 hours, it is dead."""
    link = invited(boss, "sari", "auditor")
    stored = house.store.read_now(lambda connection: connection.execute(select(Invitation.id, Invitation.name)).all())
    assert [row.name for row in stored] == ["sari"] and link.rpartition("/")[2].encode() not in stored[0].id
    page = join(house, browser, link).page
    assert "pengaman.svg" in page.text
    assert browser(house).get(link).status == 404
    late = invited(boss, "tono", "auditor")
    house.clock.forward(hours=48)
    stranger = browser(house)
    assert stranger.get(late).status == 404
    assert stranger.post(late, {"passphrase": PASSPHRASE, "again": PASSPHRASE}).status == 404


def test_weak_passphrases_are_refused(house: House, browser: Open, boss: Browser) -> None:
    """Short, common, repeated and one's own name: none opens an account."""
    link = invited(boss, "sari", "auditor")
    person = browser(house)
    common = ("passwordpassword", "123456789012345", "Bismillahirrahmanirrahim1")
    for weak in ("pendek", *common, "aaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabcabc", "x" * 500):
        person.get(link)
        assert person.post(link, {"passphrase": weak, "again": weak}).status == 400, weak
    person.get(link)
    assert person.post(link, {"passphrase": PASSPHRASE, "again": PASSPHRASE + "x"}).status == 400
    assert weakness("sari", "netraasn sari") == "passphrase_short"
    assert weakness("sari", PASSPHRASE) == ""


def test_a_new_receiver_counts_after_two_people_and_a_day(house: House, browser: Open, boss: Browser) -> None:
    """Neither the admin nor one approver alone makes a reader; before a day has passed no tip is sealed to the new one."""
    link = invited(boss, "sari", "reviewer")
    sari = join(house, browser, link)
    house.secrets["sari"] = re.search(r'class="secret">([^<]+)<', sari.page.text)[1].replace(" ", "")  # type: ignore[index]
    house.clock.forward(seconds=60)
    sari.post("/masuk/pengaman", {"code": sari.code("sari")})
    assert sari.get("/laporan").status == 403
    assert "sari" in boss.get("/tim").text and "Penerima baru menunggu" in boss.page.text

    def approve(name: str) -> int:
        person = browser(house)
        person.login(name)
        found = re.search(r"/tim/\w+/setuju", person.get("/tim").text)
        return person.post(found[0]).status if found else 0

    before, _ = house.tip()
    assert approve("boss") == 0
    assert approve("maya") == 200
    assert approve("maya") == 0
    assert approve("rina") == 200
    between, _ = house.tip()
    house.clock.forward(hours=25)
    rina = browser(house)
    rina.login("rina")
    house.clock.forward(seconds=45)
    rina.get("/laporan")
    after, _ = house.tip()

    def sealed_to_sari(connection: object) -> set[bytes]:
        account = house.staff.find(connection, "sari")  # type: ignore[arg-type]
        assert account is not None and account.receives
        return set(connection.execute(select(Seal.case_id).where(Seal.staff_id == account.id)).scalars())  # type: ignore[attr-defined]

    assert house.store.read_now(sealed_to_sari) == {after}
    assert [act.subject for act in house.acts("receiver_counts")] == ["sari"]
    house.clock.forward(minutes=2)
    share = re.search(r"/tim/\w+/bagikan", rina.get("/tim").text)
    assert share is not None
    rina.post(share[0], {"code": rina.code("rina")})
    assert house.store.read_now(sealed_to_sari) == {before, between, after}


def test_one_person_cannot_give_both_approvals(house: House) -> None:
    """A receiver who is also an auditor approves in one capacity; the other needs somebody else."""
    house.account("both", "reviewer auditor")
    token = house.store.write_now(lambda connection: house.staff.invite(connection, "boss", "sari", ["reviewer"], 1))
    made = accounts.make_credentials(PASSPHRASE)
    house.store.write_now(lambda connection: house.staff.accept(connection, token, made))
    both = house.store.read_now(lambda connection: house.staff.find(connection, "both"))
    assert both is not None
    signing = open_signing_key(derive_passphrase(PASSPHRASE, both.salt), both.id, both.signing_key, both.signing_private)
    assert len(house.store.write_now(lambda connection: house.staff.approve(connection, made.staff_id, both, signing))) == 1
    with pytest.raises(Refused):
        house.store.write_now(lambda connection: house.staff.approve(connection, made.staff_id, both, signing))
    house.clock.forward(days=2)
    assert house.store.write_now(house.staff.settle) == []


def test_practice_waives_the_day_and_says_so(build: Callable[..., House], browser: Open) -> None:
    """In practice mode one person can try the whole way at once, and the page says what is different."""
    house = build(practice=True)
    first = house.store.write_now(house.staff.ensure_first)
    assert first is not None and first[0] == "admin"
    assert house.store.write_now(house.staff.ensure_first) is None
    admin = browser(house)
    admin.get("/masuk")
    admin.post("/masuk", {"name": first[0], "passphrase": first[1]})
    admin.post("/masuk/pengaman/nanti")
    admin.get("/tim")
    page = admin.post("/tim/undang", {"name": "sari", "role": "reviewer", "team": "1"})
    link = re.search(r"/undangan/[\w-]+", page.text)
    assert link is not None
    join(house, browser, link[0])
    page = admin.get("/tim")
    assert "masa tunggu 24 jam ditiadakan" in page.text
    approve = re.search(r"/tim/\w+/setuju", page.text)
    assert approve is not None
    admin.post(approve[0])
    names = [account.name for account in house.store.read_now(accounts.receivers)]
    assert names == ["admin", "sari"]


def test_removing_a_receiver_ends_everything_at_once(house: House, browser: Open, boss: Browser) -> None:
    """Seals, claims and sessions go in the same moment; the last but one of a team cannot be removed."""
    for name in ("budi", "tono"):
        house.account(name, "reviewer")
    case, _ = house.tip()
    budi = browser(house)
    budi.login("budi")
    budi.get(f"/laporan/{case.hex()}")
    budi.post(f"/laporan/{case.hex()}/ambil")

    def remove(name: str) -> int:
        house.clock.forward(minutes=2)
        account = house.store.read_now(lambda connection: house.staff.find(connection, name))
        assert account is not None
        boss.get("/tim")
        return boss.post(f"/tim/{account.id.hex()}/hapus", {"code": boss.code("boss")}).status

    assert remove("boss") == 400
    budi_id = house.store.read_now(lambda connection: house.staff.find(connection, "budi")).id  # type: ignore[union-attr]
    assert remove("budi") == 200
    assert budi.request("GET", "/laporan").status == 303
    left = house.store.read_now(lambda connection: connection.execute(select(Seal).where(Seal.staff_id == budi_id)).all())
    assert left == []
    opened = house.store.read_now(lambda connection: house.cases.metadata(connection))
    assert opened[0].claimed_by is None
    assert remove("tono") == 400
    stranger = browser(house)
    stranger.get("/masuk")
    assert stranger.post("/masuk", {"name": "budi", "passphrase": PASSPHRASE}).status == 401


def test_a_role_that_reads_has_to_be_approved_again(house: House, boss: Browser) -> None:
    """An admin cannot make a reader of an account by changing its roles; taking the role away closes the tips."""
    for name in ("budi", "tono"):
        house.account(name, "reviewer")
    house.account("sari", "broadcaster")
    house.tip()

    def change(name: str, roles: list[str]) -> str:
        account = house.store.read_now(lambda connection: house.staff.find(connection, name))
        assert account is not None
        house.store.write_now(lambda connection: house.staff.change_roles(connection, account.id, roles, account.group_id))
        changed = house.store.read_now(lambda connection: house.staff.get(connection, account.id))
        assert changed is not None
        return changed.state

    assert change("sari", ["broadcaster", "reviewer"]) == "waiting"
    assert change("budi", ["broadcaster"]) == "active"
    budi = house.store.read_now(lambda connection: house.staff.find(connection, "budi"))
    assert budi is not None
    assert house.store.read_now(lambda connection: connection.execute(select(Seal).where(Seal.staff_id == budi.id)).all()) == []


def test_tips_go_to_the_team_of_their_region(house: House) -> None:
    """A regency's tip goes to its team, else the province's, else the central one; a team without readers is passed over."""
    house.account("pusat", "reviewer")
    lampung, timur = house.team("Tim Lampung", "18"), house.team("Tim Lampung Timur", "18.07")
    house.account("prov", "reviewer", "Tim Lampung")

    def team_of(case: bytes) -> int:
        return next(row.group_id for row in house.store.read_now(house.cases.metadata) if row.id == case)

    assert team_of(house.tip(region="18.07.01")[0]) == lampung
    house.account("kab", "reviewer", "Tim Lampung Timur")
    assert team_of(house.tip(region="18.07.01")[0]) == timur
    assert team_of(house.tip(region="18.71")[0]) == lampung
    assert team_of(house.tip(region="31.71")[0]) == 1


def test_the_command_line_adds_accounts_with_the_same_rules(house: House) -> None:
    """Names, roles, teams and passphrases are checked; the account works at once."""
    house.account("rina", "reviewer")
    for name, roles, team, passphrase, reason in (
        ("Rina", "admin", "", PASSPHRASE, "name_taken"),
        ("a", "admin", "", PASSPHRASE, "name_form"),
        ("nama dengan spasi", "admin", "", PASSPHRASE, "name_form"),
        ("budi", "king", "", PASSPHRASE, "roles"),
        ("budi", "", "", PASSPHRASE, "roles"),
        ("budi", "admin", "Tim Entah", PASSPHRASE, "no_group"),
        ("budi", "admin", "", "pendek", "passphrase_short"),
    ):
        with pytest.raises(Refused) as refused:
            house.store.write_now(partial(accounts.add, name=name, roles=roles.split(), group=team, passphrase=passphrase))
        assert refused.value.reason == reason
    for _ in range(20):
        assert weakness("admin", accounts.new_passphrase()) == ""


def test_everybody_is_told_of_a_reader_who_is_not_in_the_signed_list(house: House, browser: Open, boss: Browser) -> None:
    """A row that somebody wrote into the database, and a list that was removed or changed, stand on every page of every role."""
    house.account("tono", "reviewer")
    rina = browser(house)
    rina.login("rina")
    assert "daftar bertanda tangan" not in rina.get("/laporan").text
    sign = "sejak panel didirikan"
    assert sign in boss.get("/tim").text
    house.store.write_now(lambda connection: connection.execute(update(Staff).where(Staff.name == "tono").values(public_key=bytes(32))))
    for staff, path in ((rina, "/laporan"), (rina, "/saya"), (boss, "/saya")):
        assert "Penerima ini tidak ada di daftar bertanda tangan" in staff.get(path).text and "tono" in staff.page.text
    house.clock.forward(minutes=2)
    rina.get("/tim")
    tono = house.store.read_now(lambda connection: house.staff.find(connection, "tono"))
    assert tono is not None
    assert rina.post(f"/tim/{tono.id.hex()}/bagikan", {"code": rina.code("rina")}).status == 400
    house.store.write_now(lambda connection: connection.execute(update(SignedReceivers).values(signature=bytes(64))))
    assert "Tanda tangan daftar penerima tidak cocok" in rina.get("/laporan").text
    house.store.write_now(lambda connection: connection.execute(delete(SignedReceivers)))
    assert "tidak ada" in rina.get("/laporan").text and "netra receivers sign" in rina.page.text


def test_old_tips_are_given_on_and_on_record(house: House, browser: Open, boss: Browser) -> None:
    """A receiver gives what they can open to another of their team; the log has the number; nobody else may."""
    cases = {house.tip()[0] for _ in range(5)}
    house.account("baru", "reviewer")
    rina = browser(house)
    rina.login("rina")
    baru = house.store.read_now(lambda connection: house.staff.find(connection, "baru"))
    assert baru is not None
    way = f"/tim/{baru.id.hex()}/bagikan"
    boss.get("/tim")
    assert boss.post(way, {"code": ""}, follow=False).status == 403
    rina.get("/tim")
    assert "dapat dibuka penerima itu juga" in rina.post(way, {}).text
    sealed = select(Seal.case_id).where(Seal.staff_id == baru.id)
    assert set(house.store.read_now(lambda connection: list(connection.execute(sealed).scalars()))) == cases
    act = house.acts("shared")[0]
    assert (act.actor, act.subject, act.detail) == ("rina", "baru", "5")
    new = browser(house)
    new.login("baru")
    assert new.get(f"/laporan/{cases.pop().hex()}").status == 200
