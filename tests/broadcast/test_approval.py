"""From draft to approval: two people, a hash of everything, ten minutes, one an hour, links that are allowed."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from sqlalchemy import text

from storage.drafts import FOOTER_AT_MOST, TELEGRAM_AT_MOST, Audience, Draft, OnWhatsApp, When, links, problems
from storage.staff import Refused
from storage.subscribers import zone_of
from tests.broadcast.conftest import DAY, TEXT, Office

pytestmark = pytest.mark.anyio
DOMAINS = ("bawaslu.go.id", "kpu.go.id")
TEMPLATE = "HX" + "0" * 32


def proposed(office: Office, draft: Draft) -> int:
    """A draft of Rina's that waits for approval."""
    number = office.store.write_now(lambda connection: office.broadcasts.save(connection, draft, "rina"))
    office.store.write_now(lambda connection: office.broadcasts.propose(connection, number))
    return number


def refused(office: Office, number: int, by: str, seen: str) -> str:
    """Why an approval is refused."""
    with pytest.raises(Refused) as error:
        office.store.write_now(lambda connection: office.broadcasts.approve(connection, number, by, seen))
    return error.value.reason


def test_writer_does_not_approve(office: Office) -> None:
    """The second person is another person."""
    draft = office.draft()
    number = proposed(office, draft)
    assert refused(office, number, "rina", draft.digest) == "own"
    approved = office.store.write_now(lambda connection: office.broadcasts.approve(connection, number, "budi", draft.digest))
    assert (approved.written_by, approved.approved_by, approved.state) == ("rina", "budi", "holding")


def test_last_editor_counts_as_writer(office: Office) -> None:
    """Who changed the text last may not approve it, even when somebody else began it."""
    number = proposed(office, office.draft())
    changed = office.draft(telegram={"id": "Lain."})
    office.store.write_now(lambda connection: office.broadcasts.save(connection, changed, "budi", number))
    office.store.write_now(lambda connection: office.broadcasts.propose(connection, number))
    assert refused(office, number, "budi", changed.digest) == "own"


def test_approval_is_for_what_was_seen(office: Office) -> None:
    """An approval of another text than the one that stands now is refused."""
    number = proposed(office, office.draft())
    seen = office.draft(telegram={"id": "Yang tadi dilihat."})
    assert refused(office, number, "budi", seen.digest) == "changed"


@pytest.mark.parametrize(
    "change",
    [
        {"telegram": {"id": "Teks lain."}},
        {"audience": Audience(roles=("asn",))},
        {"when": When(DAY, DAY, "09:00")},
        {"title": "Lain"},
        {"templates_at_most": 5},
    ],
)
async def test_any_edit_voids_the_approval(office: Office, change: dict[str, object]) -> None:
    """Text, audience, time, title, budget: whatever is changed, it has to be approved anew, and nothing is sent."""
    office.subscribe(2)
    number = office.due()
    changed = replace(office.draft(), **change)  # type: ignore[arg-type]  # any of its fields
    office.store.write_now(lambda connection: office.broadcasts.save(connection, changed, "rina", number))
    await office.broadcaster.tick()
    await office.broadcaster.idle()
    assert office.state(number) == "draft"
    assert office.telegram.sent == []


async def test_change_behind_our_back_is_found(office: Office) -> None:
    """A text that was changed in the database itself, past the approval, is never sent."""
    office.subscribe(2)
    number = office.due()
    other = office.draft(telegram={"id": "Pilih nomor 1."}).body()
    office.store.write_now(lambda connection: connection.execute(text("UPDATE broadcast SET body = :body"), {"body": other}))
    await office.broadcaster.tick()
    await office.broadcaster.idle()
    assert (office.state(number), office.why(number)) == ("cancelled", "changed")
    assert office.telegram.sent == []


async def test_ten_minutes_before_anything_is_sent(office: Office) -> None:
    """Whatever its time, an approved broadcast holds for ten minutes, in which it can be cancelled."""
    office.subscribe(1)
    number = office.approved()
    assert office.state(number) == "holding"
    office.clock.forward(minutes=9)
    await office.broadcaster.tick()
    assert office.telegram.sent == []
    office.store.write_now(lambda connection: office.broadcasts.cancel(connection, number))
    office.clock.forward(minutes=5)
    await office.broadcaster.tick()
    assert (office.state(number), office.telegram.sent) == ("cancelled", [])


def test_approved_long_before_holds_at_the_end(office: Office) -> None:
    """The ten minutes are the last ones before it begins."""
    later = DAY + dt.timedelta(days=3)
    number = office.approved(office.draft(when=When(later, later)))
    assert office.state(number) == "approved"
    office.clock.now = office.clock.now.replace(day=21, hour=5, minute=55)
    office.store.write_now(lambda connection: office.broadcasts.due(connection, "runner"))
    assert office.state(number) == "holding", "eight in the morning in the east is six in Jakarta"


async def test_one_an_hour_for_the_same_people(office: Office) -> None:
    """A second broadcast to an overlapping audience waits until an hour after the first; one to other people does not."""
    office.subscribe(1)
    first = office.due()
    await office.run(first)
    second = office.approved(office.draft(title="Kedua"))
    others = office.approved(office.draft(title="Jawa", audience=Audience(regions=("32",))))
    office.clock.forward(minutes=11)
    await office.run(others)
    assert (office.state(second), office.why(second)) == ("holding", "hour")
    office.clock.forward(minutes=60)
    await office.run(second)
    assert len(office.telegram.sent) == 2


def test_day_that_is_over_is_not_proposed(office: Office) -> None:
    """A reminder for yesterday is refused, and one that waited too long is never sent."""
    yesterday = DAY - dt.timedelta(days=1)
    number = office.store.write_now(
        lambda connection: office.broadcasts.save(connection, office.draft(when=When(yesterday, yesterday)), "rina")
    )
    with pytest.raises(Refused) as error:
        office.store.write_now(lambda connection: office.broadcasts.propose(connection, number))
    assert error.value.reason == "day"
    waiting = office.approved()
    office.clock.forward(days=1)
    office.store.write_now(lambda connection: office.broadcasts.due(connection, "runner"))
    assert office.state(waiting) == "expired"


GOOD: list[dict[str, object]] = [
    {},
    {"telegram": {"id": "Selengkapnya: https://www.bawaslu.go.id/netralitas?x=1 atau kpu.go.id"}},
    {"telegram": {"id": "Mulai pukul 08.00 WIB, s.d. 10.30. Hemat 2.5 persen."}},
    {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Yth. {{1}}, besok {{2}}. Balas BERHENTI untuk berhenti.", ("Bapak/Ibu", "masa tenang"))}},
]
BAD: list[tuple[str, dict[str, object]]] = [
    ("title", {"title": " "}),
    ("kind", {"kind": "iklan"}),
    ("no_text", {"telegram": {}}),
    ("audience", {"audience": Audience(channels=("fax",))}),
    ("hours", {"when": When(DAY, DAY, "05:00", "08:00")}),
    ("hours", {"when": When(DAY, DAY, "19:00", "22:00")}),
    ("hours", {"when": When(DAY, DAY, "10:00", "09:00")}),
    ("hours", {"when": When(DAY, DAY, "pagi", "09:00")}),
    ("day", {"when": When(DAY, DAY + dt.timedelta(days=20))}),
    ("telegram_empty", {"telegram": {"en": TEXT}}),
    ("telegram_long", {"telegram": {"id": "x" * (TELEGRAM_AT_MOST - FOOTER_AT_MOST + 1)}}),
    ("telegram_long", {"telegram": {"id": "😀" * 2000}}),
    ("braces", {"telegram": {"id": "Halo {nama}"}}),
    ("links", {"telegram": {"id": "https://evil.example/x"}}),
    ("links", {"telegram": {"id": "https://bawaslu.go.id@evil.com/"}}),
    ("links", {"telegram": {"id": "https://bawaslu.go.id.evil.com/"}}),
    ("links", {"telegram": {"id": "bit.ly/abc"}}),
    ("links", {"telegram": {"id": "tg://resolve?domain=x"}}),
    ("links", {"telegram": {"id": "ikuti @calon_kita"}}),
    ("links", {"telegram": {"id": "bawasIu.go.id"}}),
    ("links", {"whatsapp": {"id": OnWhatsApp(session="wa.me/62812")}}),
    ("whatsapp_empty", {"whatsapp": {"id": OnWhatsApp()}}),
    ("session_long", {"whatsapp": {"id": OnWhatsApp(session="x" * 1600)}}),
    ("template_id", {"whatsapp": {"id": OnWhatsApp("HXzz", "Besok masa tenang.")}}),
    ("template_variables", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "{{1}} besok.", ("Halo",))}}),
    ("template_variables", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Besok {{1}} {{2}} ya.", ("a", "b"))}}),
    ("template_values", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Besok {{1}} ya.", ())}}),
    ("template_values", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Besok {{1}} ya.", ("a\nb",))}}),
    ("template_stop", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Besok {{1}} ya.", ("masa tenang",))}}),
    ("template_long", {"whatsapp": {"id": OnWhatsApp(TEMPLATE, "Besok {{1}} ya.", ("x" * 1024,))}}),
]


@pytest.mark.parametrize("change", GOOD)
def test_good_drafts(office: Office, change: dict[str, object]) -> None:
    """What is complete and links only where it may can be proposed, and comes back from storage as it was."""
    draft = office.draft(**{"audience": Audience(), **change})
    assert problems(draft, DOMAINS, DAY) == []
    assert Draft.read(draft.body()) == draft


@pytest.mark.parametrize(("problem", "change"), BAD)
def test_bad_drafts(office: Office, problem: str, change: dict[str, object]) -> None:
    """What is incomplete, too long, out of hours or leads elsewhere is named before it is proposed."""
    assert problem in problems(office.draft(**{"audience": Audience(), **change}), DOMAINS, DAY)


def test_links_are_found_as_phones_find_them() -> None:
    """Every form that a phone makes clickable counts as a link."""
    assert links("Lihat https://kpu.go.id/a, kpu.go.id/b dan @kpu") == ["kpu.go.id", "kpu.go.id", "@kpu"]


def test_overlap() -> None:
    """Audiences overlap when somebody may belong to both; regions hold what lies within them."""
    lampung, way_kanan, java = Audience(regions=("18",)), Audience(regions=("18.08",)), Audience(regions=("32", "33"))
    assert lampung.overlaps(way_kanan)
    assert way_kanan.overlaps(lampung)
    assert not lampung.overlaps(java)
    assert Audience().overlaps(java)
    assert not Audience(roles=("asn",)).overlaps(Audience(roles=("warga",)))


@pytest.mark.parametrize(
    ("region", "zone"), [("", "WIB"), ("18.07", "WIB"), ("51.71", "WITA"), ("64", "WITA"), ("81.01", "WIT"), ("96", "WIT")]
)
def test_zones(region: str, zone: str) -> None:
    """A region's time zone is its province's."""
    assert zone_of(region) == zone


def test_audience_is_counted_with_reasons(office: Office) -> None:
    """The count says how many get it, and why the others do not, each by the first reason."""
    office.subscribe(4)
    office.subscribe(2, role="warga")
    office.subscribe(3, region="32.04")
    office.subscribe(1, language="en")
    office.subscribe(2, kinds=("rules",))
    office.subscribe(5, "whatsapp")
    audience = Audience(channels=("telegram",), roles=("asn",), regions=("18",), languages=("id",))
    counted = office.store.read_now(lambda connection: office.broadcasts.count(connection, office.draft(audience=audience)))
    assert counted.reached == {"telegram": 4}
    assert counted.excluded == {"channel": 5, "role": 2, "region": 3, "language": 1, "kind": 2}
    office.store.write_now(lambda connection: connection.execute(text("UPDATE subscriber SET heard = NULL")))
    words = office.draft(audience=Audience(), whatsapp={"id": OnWhatsApp(session="Besok.")})
    counted = office.store.read_now(lambda connection: office.broadcasts.count(connection, words))
    assert counted.excluded == {"kind": 2, "window": 5}
    few = office.draft(
        audience=Audience(channels=("whatsapp",)), whatsapp={"id": OnWhatsApp(TEMPLATE, "Besok. Ketik STOP.")}, templates_at_most=2
    )
    counted = office.store.read_now(lambda connection: office.broadcasts.count(connection, few))
    assert (counted.reached, counted.excluded["budget"]) == ({"whatsapp": 2}, 3)


def test_subscriber_rows_say_nothing_by_themselves(office: Office) -> None:
    """Without the subscribers' key no address is in the data, and no id of a row can be made from an address."""
    person = office.subscribe(1, "whatsapp")[0]
    office.store.scrub()
    office.store.write_now(lambda connection: None)
    raw = b"".join(path.read_bytes() for path in office.folder.glob("netra.db*"))
    assert person.chat.encode() not in raw
    assert person.chat.removeprefix("whatsapp:+").encode() not in raw


def test_stopped_everything_is_undone_by_release(office: Office) -> None:
    """The switch is thrown once, by name, and released."""
    office.store.write_now(lambda connection: office.broadcasts.stop_all(connection, "rina"))
    office.store.write_now(lambda connection: office.broadcasts.stop_all(connection, "budi"))
    assert office.store.read_now(office.broadcasts.stopped_by) == "rina"
    office.store.write_now(office.broadcasts.release)
    assert office.store.read_now(office.broadcasts.stopped_by) is None
