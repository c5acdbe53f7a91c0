"""Cases: sealed to their team, opened by receiver or code alone, destroyed on schedule; and one whole conversation on PostgreSQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from bot.messages import Address
from faq.match import Faq
from storage.audit import AuditLog
from storage.cases import NEW, OPEN, TEAM, TIPSTER, Cases, NewTip, NoReceivers, OpenCase
from storage.conversations import Conversations
from storage.models import (
    Approval,
    Audit,
    Case,
    Conversation,
    Count,
    DraftEvidence,
    Evidence,
    Group,
    Invitation,
    Item,
    PushHandle,
    Seal,
    Staff,
    StaffSession,
    Statistic,
    Table,
    Unanswered,
)
from storage.retention import CLOSED_DAYS, REJECTED_DAYS, REVIEW_DAYS, Retention
from storage.statistics import Statistics
from storage.store import Store
from storage.vault import Broken, EpochKeys, Passphrase, Receipt, keyed, new_receiver_key, open_receiver_key
from tests.conftest import Clock
from tests.talk import Machine, Talk

CHAT = Address("telegram", "62811111")
PASSPHRASE = Passphrase(bytes(range(32)), bytes(32))
FACTS = {"original_sha256": "ab" * 32, "clean_sha256": "cd" * 32, "taken": "2024-11-17", "place": True}
TOLD = {"indicator": "kampanye", "kind": "media_sosial", "region": "18.07.01", "region_name": "Metro Kibang", "when": "2024-11-17"}
TOLD |= {"what": "RAHASIA: camat membagikan unggahan calon", "who": "Camat", "more": ""}


class Team:
    """Cases with teams of receivers."""

    def __init__(self, url: str, folder: Path, clock: Clock) -> None:
        self.clock, self.store = clock, Store(url)
        self.conversations = Conversations(EpochKeys(folder / "run", clock))
        self.statistics = Statistics(bytes(range(32)), lambda day: "kampanye")
        self.cases = Cases(self.conversations, clock, self.statistics)
        self.audit = AuditLog(bytes(range(32)), clock)
        self.private: dict[bytes, bytes] = {}
        self.number = 0

    def group(self, region: str) -> int:
        """A team for a region."""
        made = insert(Group).values(name=f"Tim {region}", region=region).returning(Group.id)
        return int(self.store.write_now(lambda connection: connection.execute(made).scalar_one()))

    def receiver(self, group: int, roles: str = "reviewer", state: str = "active") -> bytes:
        """An account of a team."""
        self.number += 1
        name = bytes([self.number]) * 16
        key = new_receiver_key(PASSPHRASE, name)
        self.private[name] = open_receiver_key(PASSPHRASE, name, key.public, key.wrapped)
        values = {"id": name, "name": f"s{self.number}", "roles": roles, "group_id": group, "state": state, "salt": bytes(16)}
        values |= {"verifier": bytes(32), "public_key": key.public, "private_key": key.wrapped, "since": self.clock().date(), "totp": b""}
        self.store.write_now(lambda connection: connection.execute(insert(Staff).values(**values)))
        return name

    def tip(self, photos: int = 0, region: str = "18.07.01", **more: str) -> tuple[bytes, Receipt]:
        """A tip and its receipt."""
        self.number += 1
        receipt = Receipt(bytes([self.number]) * 16, bytes([self.number]) * 31 + b"k")

        def send(connection: Connection) -> bytes:
            kept = [
                self.conversations.keep_photo(connection, CHAT, bytes([self.number, n]) * 8, b"\xff\xd8jpeg" + bytes([n]), FACTS)
                for n in range(photos)
            ]
            case = self.cases.open(connection, CHAT, NewTip(self.clock().date(), "id", TOLD | more, kept, region), receipt)
            self.conversations.keep_only(connection, CHAT, [])
            return case

        return self.store.write_now(send), receipt

    def do(self, name: str, *arguments: Any, **named: Any) -> Any:
        """One method of the cases in a transaction of its own."""
        return self.store.write_now(lambda connection: getattr(self.cases, name)(connection, *arguments, **named))

    def opened(self, staff: bytes, case: bytes) -> OpenCase:
        """The case, opened by a receiver."""
        found: OpenCase | None = self.do("by_seal", staff, self.private[staff], case)
        assert found is not None
        return found

    def count(self, table: type[Table]) -> int:
        """How many rows a table has."""
        return self.store.read_now(lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())

    def change(self, statement: Any) -> None:
        """Change rows behind the program's back."""
        self.store.write_now(lambda connection: connection.execute(statement))

    def rows(self, query: Any) -> list[Any]:
        """The rows of a query."""
        return self.store.read_now(lambda connection: list(connection.execute(query).mappings()))

    def value(self, column: Any, case: bytes) -> Any:
        """One value of a case's row."""
        return self.store.read_now(lambda connection: connection.execute(select(column).where(Case.id == case)).scalar_one())


@pytest.fixture
def team(home: str, tmp_path: Path, clock: Clock) -> Iterator[Team]:
    """An empty house with a clock."""
    made = Team(home, tmp_path, clock)
    yield made
    made.store.close()


# --- who can open what --------------------------------------------------------------------------------------------------------------------


def test_a_tip_is_opened_by_its_receivers_and_by_its_code(team: Team) -> None:
    """Both see all of it with its photos; nobody else sees anything."""
    group = team.group("18")
    mine, other = team.receiver(group), team.receiver(group, "verifier")
    stranger, waiting, admin = team.receiver(team.group("32")), team.receiver(group, "reviewer", "waiting"), team.receiver(group, "admin")
    case, receipt = team.tip(photos=2)
    for opened in (team.opened(mine, case), team.opened(other, case), team.do("by_receipt", receipt)):
        assert opened.tip["what"] == TOLD["what"] and opened.head["photos"] == 2 and opened.status == NEW
        (entry,) = opened.entries
        jpeg, facts = team.do("photo", opened.key, case, entry.photos[0])
        assert jpeg == b"\xff\xd8jpeg\0" and facts["taken_as_claimed"] == "yes" and "taken" not in facts
        assert len(facts["commitment"]) == 64 and facts["commitment"] != facts["original_sha256"]
    for outsider in (stranger, waiting, admin):
        assert team.do("by_seal", outsider, team.private[outsider], case) is None
        assert team.do("listed", outsider, team.private[outsider]) == []
    assert team.do("by_receipt", Receipt(b"?" * 16, receipt.wrap)) is None
    with pytest.raises(Broken):
        team.do("by_receipt", Receipt(receipt.lookup, bytes(32)))
    assert team.do("photo", team.opened(mine, case).key, team.tip()[0], entry.photos[0]) is None


def test_the_nearest_team_with_receivers_gets_the_tip(team: Team) -> None:
    """District, regency, province, else the central one; a team without receivers is passed over; nobody at all is said so."""
    with pytest.raises(NoReceivers):
        team.tip()
    central, province, regency = team.group(""), team.group("18"), team.group("18.07")
    team.receiver(central)
    assert team.value(Case.group_id, team.tip()[0]) == central
    team.receiver(province)
    assert team.value(Case.group_id, team.tip()[0]) == province
    team.receiver(regency, "admin")
    assert team.value(Case.group_id, team.tip()[0]) == province
    team.receiver(regency)
    assert team.value(Case.group_id, team.tip()[0]) == regency
    assert team.value(Case.group_id, team.tip(region="32.01")[0]) == central
    assert team.value(Case.group_id, team.tip(region="")[0]) == central


def test_team_and_tipster_talk(team: Team) -> None:
    """Whose turn it is, what is new, and the order of what was said; a note stays inside."""
    staff = team.receiver(team.group("18"))
    case, receipt = team.tip()
    team.do("tell_tipster", team.opened(staff, case), "penelaah", "Kapan tepatnya?")
    found = team.do("by_receipt", receipt)
    assert (found.status, found.whose_turn, found.news, found.deadline) == (OPEN, TIPSTER, True, None)
    team.do("read_by_tipster", receipt)
    team.clock.forward(days=1)
    photo = team.store.write_now(lambda connection: team.conversations.keep_photo(connection, CHAT, b"z" * 16, b"\xff\xd8z", FACTS))
    assert team.do("tell_team", CHAT, receipt, "Kemarin sore", [photo], danger=True)
    team.do("note", team.opened(staff, case), "penelaah", "RAHASIA TIM")
    found = team.opened(staff, case)
    assert [(entry.kind, entry.words) for entry in found.entries] == [
        ("tip", ""),
        ("team", "Kapan tepatnya?"),
        ("tipster", "Kemarin sore"),
        ("note", "RAHASIA TIM"),
    ]
    assert (found.whose_turn, found.news, found.head["danger"], found.head["photos"]) == (TEAM, False, True, 1)
    assert team.do("photo", found.key, case, found.entries[2].photos[0])[0] == b"\xff\xd8z"


def test_a_case_that_is_gone_says_so(team: Team) -> None:
    """Adding to, withdrawing or reading a withdrawn case does nothing."""
    team.receiver(team.group("18"))
    _, receipt = team.tip()
    assert team.do("withdraw", receipt) and not team.do("withdraw", receipt)
    assert not team.do("tell_team", CHAT, receipt, "masih ada?", [])
    assert team.do("by_receipt", receipt) is None and not team.do("known", receipt)


# --- what stands in the rows --------------------------------------------------------------------------------------------------------------


def test_rows_hold_days_and_sealed_contents_only(team: Team) -> None:
    """No word, no chat, no hash; every time of a tip is a day."""
    team.receiver(team.group("18"))
    team.tip(photos=1)
    tables: tuple[type[Table], ...] = (Case, Seal, Item, Evidence, Statistic)
    for table in tables:
        for row in team.rows(select(table)):
            for name, value in row.items():
                raw = value if isinstance(value, bytes) else str(value).encode()
                for secret in (
                    b"RAHASIA",
                    b"Camat",
                    b"18.07",
                    b"kampanye",
                    CHAT.chat.encode(),
                    bytes.fromhex("ab" * 32),
                ):
                    assert secret not in raw, f"{table.__tablename__}.{name}"
                assert not isinstance(value, dt.datetime), f"{table.__tablename__}.{name}"
                assert isinstance(value, bytes | str | bool | dt.date | None) or name == "group_id", f"{table.__tablename__}.{name}"


def test_sizes_say_little(team: Team) -> None:
    """Two tips of different length make rows of the same length; a photo is padded to 64 KiB."""
    team.receiver(team.group("18"))
    team.tip(photos=1, what="pendek")
    team.tip(photos=1, what="panjang " * 40)
    for column in (Item.body, Evidence.body, Evidence.facts, Case.head, Case.wrapped, Statistic.body):
        assert len({len(row[column.name]) for row in team.rows(select(column))}) == 1, column
    assert {len(row["body"]) for row in team.rows(select(Evidence.body))} == {65536 + 45}


def test_rows_that_were_swapped_flipped_or_cut_are_refused(team: Team) -> None:
    """What stands in another row or column, or is not what was written, is never shown as a case's content."""
    staff = team.receiver(team.group("18"))
    (case, receipt), (other, _) = team.tip(photos=1), team.tip(photos=1)
    photos = {name: team.opened(staff, name).entries[0].photos[0] for name in (case, other)}

    def look() -> None:
        by_seal = team.opened(staff, case)
        team.do("photo", by_seal.key, case, photos[case])
        team.do("by_receipt", receipt)
        team.do("listed", staff, team.private[staff])

    def row(table: Any, name: bytes) -> Any:
        key = table.id if table is Case else table.case_id
        return team.store.read_now(lambda connection: connection.execute(select(table).where(key == name)).mappings().one())

    look()
    places: tuple[tuple[Any, str], ...] = (
        (Case, "wrapped"),
        (Case, "public_key"),
        (Case, "head"),
        (Seal, "body"),
        (Item, "body"),
        (Evidence, "facts"),
        (Evidence, "body"),
    )
    for table, column in places:
        key = table.id if table is Case else table.case_id
        mine, theirs = row(table, case)[column], row(table, other)[column]
        flipped = bytearray(mine)
        flipped[len(flipped) // 2] ^= 1
        wrongs = [theirs, bytes(flipped), mine[:-1], mine + b"\0", b""]
        if table is Evidence:
            wrongs.append(row(table, case)["facts" if column == "body" else "body"])
        for wrong in wrongs:
            team.change(update(table).where(key == case).values(**{column: wrong}))
            with pytest.raises(Broken):
                look()
        team.change(update(table).where(key == case).values(**{column: mine}))
        look()


def test_one_damaged_case_does_not_hide_the_others(team: Team) -> None:
    """The list shows a damaged case without its head, searching passes over it, and both go on with the rest."""
    staff = team.receiver(team.group("18"))
    (case, _), (other, _) = team.tip(), team.tip()
    team.change(update(Seal).where(Seal.case_id == case).values(body=b"x" * 80))
    heads = {listed.id: listed.head for listed in team.do("listed", staff, team.private[staff])}
    assert heads[case].get("broken") and not heads[case]["region"] and heads[other]["region"] == TOLD["region"]
    with team.store.engine.connect() as connection:
        assert [found.id for found in team.cases.each(connection, staff, team.private[staff])] == [other]


def test_a_photo_cannot_be_moved_to_another_case(team: Team) -> None:
    """Not even whole rows can change cases."""
    staff = team.receiver(team.group("18"))
    (case, _), (other, _) = team.tip(photos=1), team.tip(photos=0)
    photo = team.opened(staff, case).entries[0].photos[0]
    team.change(update(Evidence).where(Evidence.case_id == case).values(case_id=other))
    with pytest.raises(Broken):
        team.do("photo", team.opened(staff, other).key, other, photo)
    team.change(update(Item).where(Item.case_id == case).values(case_id=other))
    with pytest.raises(Broken):
        team.opened(staff, other)


# --- destruction --------------------------------------------------------------------------------------------------------------------------


def test_destroyed_keys_open_nothing(team: Team) -> None:
    """Once the keys are gone, what is left of a case is noise for its receivers and for its code."""
    staff = team.receiver(team.group("18"))
    case, receipt = team.tip(photos=1)
    team.do("destroy_keys", case)
    assert (team.count(Case), team.count(Seal), team.count(Item)) == (1, 0, 1)
    assert team.do("by_seal", staff, team.private[staff], case) is None and team.do("by_receipt", receipt) is None
    assert team.do("listed", staff, team.private[staff]) == []
    team.do("destroy", case)
    assert [team.count(table) for table in (Case, Seal, Item, Evidence)] == [0, 0, 0, 0]


def test_withdrawing_destroys_the_case_and_keeps_the_count(team: Team) -> None:
    """Nothing of it remains but that there was one."""
    team.receiver(team.group("18"))
    case, receipt = team.tip(photos=1)
    assert team.do("withdraw", receipt)
    assert [team.count(table) for table in (Case, Seal, Item, Evidence)] == [0, 0, 0, 0]
    assert team.store.read_now(lambda connection: team.statistics.outcome(connection, case)) == "withdrawn"


# --- the schedule -------------------------------------------------------------------------------------------------------------------------


def tidy(team: Team) -> dict[str, int]:
    """What the hourly job does."""
    return Retention(team.cases, team.statistics, team.conversations, team.audit, team.clock).run(team.store)


def closed(team: Team, staff: bytes, verdict: str, *, held: bool = False) -> bytes:
    """A case that was decided and closed today."""
    case, _ = team.tip(photos=1)
    team.do("decide", team.opened(staff, case), "s", verdict, {}, "Terima kasih.")
    team.do("close", team.opened(staff, case), "s")
    team.do("hold", case, held)
    return case


def test_closed_tips_go_when_their_time_is_over(team: Team) -> None:
    """Rejected ones after 14 days, others after 90, those under a hold never; open ones stay. Counts survive, the log says what went."""
    staff = team.receiver(team.group("18"))
    rejected, proven, held = closed(team, staff, "not_ours"), closed(team, staff, "proven"), closed(team, staff, "proven", held=True)
    waiting, _ = team.tip()

    def there() -> set[bytes]:
        return set(team.store.read_now(lambda connection: connection.execute(select(Case.id)).scalars()))

    team.clock.forward(days=REJECTED_DAYS - 1)
    assert tidy(team)["tips"] == 0
    team.clock.forward(days=1)
    assert tidy(team)["tips"] == 1 and there() == {proven, held, waiting}
    team.clock.forward(days=CLOSED_DAYS - REJECTED_DAYS - 1)
    assert tidy(team)["tips"] == 0
    team.clock.forward(days=1)
    assert tidy(team)["tips"] == 1 and there() == {held, waiting}
    assert team.count(Evidence) == 1 and team.count(Statistic) == 4
    acts = team.store.read_now(lambda connection: team.audit.acts(connection, action="tip_deleted"))
    assert [act.subject for act in acts] == [proven.hex(), rejected.hex()] and {act.actor for act in acts} == {"system"}


def test_keys_go_in_a_commit_of_their_own_before_the_contents(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in between leaves noise, and the next run ends the work."""
    staff = team.receiver(team.group("18"))
    closed(team, staff, "not_ours")
    team.clock.forward(days=REJECTED_DAYS)
    with monkeypatch.context() as crash:
        crash.setattr(Cases, "destroy", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tidy(team)
    assert (team.count(Seal), team.count(Item) > 0) == (0, True)
    assert tidy(team)["tips"] == 1 and team.count(Item) == 0


def test_tips_that_nobody_decided_come_up_for_review(team: Team) -> None:
    """After 180 days an open case stands in the team's list of near deadlines; it is not deleted behind their back."""
    staff = team.receiver(team.group("18"))
    case, _ = team.tip()
    team.do("tell_tipster", team.opened(staff, case), "s", "Mohon ditunggu.")
    team.clock.forward(days=REVIEW_DAYS - 1)
    assert tidy(team)["for review"] == 0
    team.clock.forward(days=1)
    assert tidy(team)["for review"] == 1
    (near,) = team.do("listed", staff, team.private[staff], folder="near")
    assert (near.id, near.deadline) == (case, team.clock().date())


def test_a_draft_is_gone_a_day_after_its_last_word(machine: Machine, clock: Clock) -> None:
    """Its row and its photos leave the disk before their key does; one that is written on stays."""
    retention = Retention(machine.cases, Statistics(bytes(32), lambda day: ""), machine.conversations, machine.desk.audit, clock)
    idle, alive = Talk(machine), Talk(machine)
    for talk in (idle, alive):
        talk.says("lapor").taps("Lainnya").sends_photos(1)
    clock.forward(hours=23)
    alive.taps("Tidak yakin")
    assert retention.run(machine.store)["drafts"] == 0
    clock.forward(hours=2)
    assert retention.run(machine.store)["drafts"] == 1
    with machine.store.engine.connect() as connection:
        assert len(connection.execute(select(Conversation.id)).all()) == len(connection.execute(select(DraftEvidence.id)).all()) == 1
    alive.taps("Hari ini").is_asked("tip.what")
    idle.says("halo").is_asked("menu.wish")


def test_the_custody_log_gets_a_commitment_of_each_original(team: Team) -> None:
    """Once a day, all together and sorted, so that no hour shows; the salt in the case opens it; what was withdrawn is not there."""
    staff = team.receiver(team.group("18"))
    (first, _), (second, _) = team.tip(1), team.tip(1)
    assert team.do("withdraw", team.tip(1)[1])

    def recorded() -> list[str]:
        acts = team.store.read_now(lambda connection: team.audit.acts(connection, action="evidence_received"))
        return [act.subject for act in reversed(acts)]

    tidy(team)
    facts = [fact for case in (first, second) for fact in team.do("photo_facts", team.opened(staff, case).key, case).values()]
    assert recorded() == sorted(fact["commitment"] for fact in facts) and len(facts) == 2
    for fact in facts:
        assert keyed(bytes.fromhex(fact["salt"]), b"original", bytes.fromhex(fact["original_sha256"])).hex() == fact["commitment"]
    team.tip(1)
    tidy(team)
    assert len(recorded()) == 2, "once a day"
    team.clock.forward(days=1)
    tidy(team)
    tidy(team)
    assert len(recorded()) == 3 and set(team.store.read_now(lambda c: c.execute(select(Evidence.commitment)).scalars().all())) == {b""}


def test_small_things_go_on_time(team: Team) -> None:
    """Drafts, sessions, invitations, approvals, push handles, unanswered questions, old counts and log rows."""
    staff, now, today = team.receiver(team.group("18")), int(team.clock().timestamp()), team.clock().date()
    case, _ = team.tip()

    def fill(connection: Connection) -> None:
        team.conversations.keep_photo(connection, CHAT, b"d" * 16, b"\xff\xd8", FACTS)
        session = {"staff_id": staff, "private_key": b"", "factor": True, "started": now, "active": now, "factor_at": 0, "pending": b""}
        connection.execute(insert(StaffSession).values(id=b"s" * 32, **session))
        connection.execute(insert(Invitation).values(id=b"i" * 32, name="baru", roles="", by="s1", expires=now + 48 * 3600))
        approval = {"kind": "export", "subjects": "", "asked_by": staff, "agreed_by": "", "asked_at": now}
        connection.execute(insert(Approval).values(id=b"a" * 16, **approval))
        connection.execute(insert(PushHandle).values(case_id=case, stop=b"p" * 16, until=today + dt.timedelta(days=30), body=b""))
        connection.execute(insert(Unanswered).values(id=b"u" * 16, words="boleh?", nearest="", day=today))
        connection.execute(insert(Count).values(day=today, name="asked", number=3))
        team.audit.add(connection, "s1", "login")

    team.store.write_now(fill)
    tables = (StaffSession, Invitation, Approval, PushHandle, Unanswered, Count, Statistic, Audit)
    gone: list[str] = []
    for days in (0.1, 0.4, 2, 5, 24, 150, 600):
        team.clock.forward(days=days)
        team.store.write_now(lambda connection: team.audit.add(connection, "s1", "login"))
        tidy(team)
        gone.append(" ".join(table.__tablename__ for table in tables if team.count(table) == 0))
    assert gone == [
        "staff_session",
        "staff_session",
        "staff_session invitation",
        "staff_session invitation approval",
        "staff_session invitation approval push_handle",
        "staff_session invitation approval push_handle unanswered",
        "staff_session invitation approval push_handle unanswered tally statistic",
    ]
    assert team.store.read_now(lambda connection: team.audit.acts(connection, limit=1000))[-1].id > 1
    assert team.store.read_now(team.audit.verify).whole


# --- on both databases --------------------------------------------------------------------------------------------------------------------


def test_one_whole_tip_from_greeting_to_answer(home: str, tmp_path: Path, clock: Clock, faq: Faq) -> None:
    """The same conversation on SQLite and on PostgreSQL: told, sent, answered by the team, read with the code."""
    machine = Machine(tmp_path, clock, faq, home)
    machine.receiver()
    talk = Talk(machine)
    talk.says("lapor").is_asked("tip.indicator")
    for answer in ("kampanye", "media sosial", "way jepara", "kemarin"):
        while talk.waiting == "tip.where_which":
            talk.says("1")
        talk.says("1" if talk.waiting in ("tip.indicator", "tip.kind") else answer)
    while talk.waiting != "tip.what":
        talk.says("1")
    talk.says("Camat membagikan unggahan calon bupati di grup kantor, saya punya tangkapan layarnya.")
    talk.says("Camat Way Jepara")
    sent: list[str] = []
    for _ in range(12):
        if talk.waiting.startswith("tip.photos") and len(sent) < 2:
            sent.append("foto")
            talk.sends_photos(1)
        elif talk.waiting == "tip.send":
            talk.says("kirim")
            break
        else:
            talk.says("selesai" if talk.waiting.startswith("tip.photos") else "lewati" if "more" in talk.waiting else "tidak")
    assert talk.waiting.startswith("saved_code"), talk.text
    code = next(message.text for message in talk.heard if message.secret)
    digits = "".join(sign for sign in code if sign.isdigit())[:20]
    (case,) = machine.store.read_now(lambda connection: list(connection.execute(select(Case.id)).scalars()))
    assert machine.store.read_now(lambda connection: connection.execute(select(func.count()).select_from(Evidence)).scalar_one()) == 2
    talk.says(digits[-4:]).hears("saved_code.right")
    receipt = machine.receipts.derive(machine.receipts.hashed(digits))
    opened = machine.store.read_now(lambda connection: machine.cases.by_receipt(connection, receipt))
    assert opened is not None and opened.id == case
    machine.store.write_now(lambda connection: machine.cases.tell_tipster(connection, opened, "penelaah", "Terima kasih, kami periksa."))
    other = Talk(machine, "telegram")
    other.says(digits)
    assert "Terima kasih, kami periksa." in other.text
    machine.close()
