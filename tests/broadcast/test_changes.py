"""Reminders that the program prepares when answers change: one draft a change, named, and two persons before anybody gets it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from bot.changes import AHEAD_DAYS, NAMED_AT_MOST, NEWS_DAYS, Changes
from bot.texts import Texts
from faq.calendar import Calendar
from faq.entries import Entry, load_entries
from faq.versions import Version
from storage.broadcasts import DRAFT, HOLDING, PROPOSED, SYSTEM
from storage.drafts import TELEGRAM_AT_MOST, When
from storage.staff import Refused
from tests.broadcast.conftest import DAY, Office

ENTRIES = load_entries()
ELECTION = Calendar.load().election("pilkada-2024")
LIKE = "sosmed.like-postingan"


def changes(office: Office, *changed: str, since: dt.date = DAY, entries: dict[str, Entry] | None = None) -> Changes:
    """The answers, of which these have changed."""
    versions = {name: Version(f"mark-of-{name}", since, ("verdict", "sanction") if name in changed else ()) for name in ENTRIES}
    return Changes(entries or ENTRIES, versions, ELECTION, Texts.load(), office.broadcasts)


def on(office: Office, day: dt.date) -> None:
    """It is ten in the morning of that day."""
    office.clock.now = dt.datetime.combine(day, office.clock.now.timetz())


def prepared(office: Office, found: Changes) -> list[int]:
    """What is prepared now."""
    return office.store.write_now(found.prepare)


def test_a_changed_answer_leads_to_one_draft_that_names_it(office: Office) -> None:
    """Verdict and sanction are named in both languages, for those who want news of the rules; doing it again makes nothing."""
    on(office, dt.date(2024, 10, 20))
    since = dt.date(2024, 10, 19)
    (number,) = prepared(office, changes(office, LIKE, since=since))
    assert prepared(office, changes(office, LIKE, since=since)) == []
    one = office.store.read_now(lambda connection: office.broadcasts.get(connection, number))
    assert one is not None
    assert (one.state, one.written_by, one.draft.kind) == (DRAFT, SYSTEM, "rules")
    assert ENTRIES[LIKE].title in one.draft.telegram["id"]
    assert "DILARANG (putusannya, sanksinya)" in one.draft.telegram["id"]
    assert ENTRIES[LIKE].title_en in one.draft.telegram["en"]
    assert office.broadcasts.problems(one.draft) == []


def test_another_change_of_the_same_answer_is_news_again(office: Office) -> None:
    """What counts is the change, not the entry; old changes and answers that never changed are no news."""
    on(office, dt.date(2024, 10, 20))
    today = dt.date(2024, 10, 20)
    assert prepared(office, changes(office)) == []
    assert prepared(office, changes(office, LIKE, since=today - dt.timedelta(days=NEWS_DAYS + 1))) == []
    assert prepared(office, changes(office, LIKE, since=today + dt.timedelta(days=1))) == []
    first = changes(office, LIKE, since=today)
    assert len(prepared(office, first)) == 1
    again = replace(first, versions={**first.versions, LIKE: Version("another", today, ("sanction",))})
    assert len(prepared(office, again)) == 1


def test_many_changes_share_one_draft_that_fits(office: Office) -> None:
    """All answers at once still fit into one message."""
    on(office, dt.date(2024, 10, 20))
    (number,) = prepared(office, changes(office, *ENTRIES, since=dt.date(2024, 10, 20)))
    one = office.store.read_now(lambda connection: office.broadcasts.get(connection, number))
    assert one is not None
    assert office.broadcasts.problems(one.draft) == []
    assert f"dan {len(ENTRIES) - NAMED_AT_MOST} lagi" in one.draft.telegram["id"]
    assert max(map(len, one.draft.telegram.values())) < TELEGRAM_AT_MOST


@pytest.mark.parametrize(
    ("stage", "says"), [("penetapan", "178 hal"), ("masa-tenang", "masa tenang"), ("hari-pemungutan", "hari pemungutan")]
)
def test_a_stage_that_begins_leads_to_one_draft(office: Office, stage: str, says: str) -> None:
    """It is there some days ahead, is sent when the stage has begun, and says what holds from then on."""
    begins = ELECTION.named(stage).begins
    on(office, begins - dt.timedelta(days=AHEAD_DAYS + 1))
    before = prepared(office, changes(office))
    on(office, begins - dt.timedelta(days=1))
    found = prepared(office, changes(office))
    assert prepared(office, changes(office)) == []
    every = office.store.read_now(office.broadcasts.listed)
    (one,) = [one for one in every if one.id in found and one.draft.when.day == begins]
    assert one.draft.kind == "stages"
    assert says in one.draft.telegram["id"]
    assert office.broadcasts.problems(one.draft) == []
    assert one.id not in before


def test_two_persons_are_needed_for_what_the_program_wrote(office: Office) -> None:
    """Who proposes it is its writer and may not approve it; nobody in particular may not propose it."""
    on(office, dt.date(2024, 10, 20))
    (number,) = prepared(office, changes(office, LIKE, since=dt.date(2024, 10, 20)))
    one = office.store.read_now(lambda connection: office.broadcasts.get(connection, number))
    assert one is not None
    seen = one.draft.digest
    with pytest.raises(Refused):
        office.store.write_now(lambda connection: office.broadcasts.propose(connection, number))
    office.store.write_now(lambda connection: office.broadcasts.propose(connection, number, "rina"))
    assert office.state(number) == PROPOSED
    with pytest.raises(Refused, match="own"):
        office.store.write_now(lambda connection: office.broadcasts.approve(connection, number, "rina", seen))
    assert office.store.write_now(lambda connection: office.broadcasts.approve(connection, number, "budi", seen)).state == HOLDING


def test_a_vote_that_moves_takes_its_reminders_along(office: Office) -> None:
    """What was approved for H-1 is a draft for the new H-1; a day of one's own and what hangs on another region's vote stay."""
    by_label = office.draft(when=When(dt.date(2024, 11, 26), dt.date(2024, 11, 26), label="H-1"))
    numbers = [office.approved(by_label), office.approved(office.draft(when=When(dt.date(2024, 11, 26), dt.date(2024, 11, 27))))]
    assert office.store.write_now(changes(office).move) == []
    later = replace(changes(office), election=replace(ELECTION, vote=dt.date(2024, 12, 4)))
    assert office.store.write_now(later.move) == numbers[:1]
    stayed, moved = office.store.read_now(office.broadcasts.listed)
    assert (moved.state, moved.draft.when.day, moved.draft.when.last, moved.written_by) == (
        DRAFT,
        dt.date(2024, 12, 3),
        dt.date(2024, 12, 3),
        "rina",
    )
    assert stayed.state != DRAFT
    assert office.store.write_now(later.move) == []
