"""Delivery: everybody once, nobody who said stop, nothing lost and nothing doubled, whatever the platform answers."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select, text

from bot.broadcast import SURGE_AT_LEAST
from bot.channels.limits import SendError
from bot.messages import Address
from storage.drafts import Audience, OnWhatsApp, When
from storage.models import Delivery
from storage.staff import add
from tests.broadcast.conftest import DAY, TEXT, Office

pytestmark = pytest.mark.anyio
TEMPLATE = OnWhatsApp(template="HX" + "0" * 32, wording="Halo, {{1}} adalah masa tenang. BERHENTI untuk berhenti.", values=("besok",))


async def test_everybody_gets_it_once(office: Office) -> None:
    """A broadcast reaches its whole audience, each once, and ends."""
    people = office.subscribe(257)
    number = office.due()
    await office.run(number)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people)
    assert office.state(number) == "done"
    assert office.results(number).counts == {("telegram", "sent", ""): 257}


async def test_message_names_the_way_to_stop(office: Office) -> None:
    """Every message holds the words, a line about stopping, and a button that stops from anywhere."""
    office.subscribe()
    await office.run(office.due())
    outbound = office.telegram.sent[0][1]
    assert outbound.text.startswith(TEXT)
    assert "BERHENTI" in outbound.text
    assert [button.token for button in outbound.buttons] == ["/berhenti"]


async def test_own_language(office: Office) -> None:
    """Who chose English gets English; where there is none, Indonesian."""
    english = office.subscribe(1, language="en")[0]
    number = office.due(office.draft(telegram={"id": TEXT, "en": "The quiet period begins."}))
    await office.run(number)
    assert office.telegram.sent[0][0] == english
    assert office.telegram.sent[0][1].text.startswith("The quiet period begins.")


async def test_who_stops_while_it_runs_gets_nothing(office: Office) -> None:
    """A stop in the middle of a running broadcast holds for the very next request, also for those that were claimed already."""
    people = office.subscribe(100)
    number = office.due()

    begun: list[str] = []
    begun_before_the_stop: list[int] = []

    async def stop_everybody(address: Address) -> None:
        begun.append(address.chat)
        if len(begun) == 20:

            def stop(connection: Connection) -> None:
                for person in people:
                    office.subscribers.stop(connection, person)
                begun_before_the_stop.append(len(begun))

            await office.store.write(stop)

    office.telegram.before = stop_everybody
    await office.run(number)
    assert len(begun) == begun_before_the_stop[0] < 100, "not one request begins after the stop"
    assert office.state(number) == "done"
    assert office.results(number).total("sent") == len(office.telegram.sent) == len(begun)
    assert office.store.read_now(office.subscribers.size) == {}


async def test_blocked_bot_ends_the_subscription(office: Office) -> None:
    """Who blocked the bot is taken off the list."""
    people = office.subscribe(3)
    office.telegram.trouble[people[1].chat] = [SendError("stopped", code="403")]
    number = office.due()
    await office.run(number)
    assert office.results(number).counts == {("telegram", "sent", ""): 2, ("telegram", "stopped", "403"): 1}
    assert office.store.read_now(lambda connection: office.subscribers.get(connection, people[1])) is None


async def test_answer_that_never_came_is_not_repeated(office: Office) -> None:
    """An unknown outcome is listed as uncertain, and the message is not sent again."""
    people = office.subscribe(3)
    office.telegram.trouble[people[0].chat] = [SendError("unknown_outcome")]
    number = office.due()
    await office.run(number)
    assert len(office.telegram.sent) == 2
    assert office.results(number).counts[("telegram", "uncertain", "unanswered")] == 1
    with office.store.engine.connect() as connection:
        rows = connection.execute(select(Delivery.state, Delivery.subscriber)).all()
    assert [(row.state, row.subscriber) for row in rows] == [("uncertain", office.subscribers.name(people[0]))]


async def test_certainly_not_delivered_is_tried_again(office: Office) -> None:
    """A platform that was not reached, or said "later", gets the message later; nobody gets it twice."""
    people = office.subscribe(30)
    office.telegram.trouble[people[3].chat] = [SendError("down"), SendError("down")]
    office.telegram.trouble[people[4].chat] = [SendError("throttled", 2.0, "429")]
    number = office.due()
    await office.run(number)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people)
    assert office.results(number).counts == {("telegram", "sent", ""): 30}


async def test_later_pauses_everybody(office: Office) -> None:
    """While the platform asks to wait, no request begins but those on the wire."""
    office.subscribe(60)
    office.telegram.trouble["5"] = [SendError("throttled", 30.0, "429")]
    began: list[float] = []

    async def note(address: Address) -> None:
        began.append(office.time.now)

    office.telegram.before = note
    await office.run(office.due())
    gaps = [after - before for before, after in itertools.pairwise(began)]
    assert max(gaps) >= 29.0
    assert len(office.telegram.sent) == 60


async def test_surge_of_errors_pauses(office: Office) -> None:
    """Too many bad answers in a row: the broadcast holds itself, and the rest is still there to be sent."""
    people = office.subscribe(400)
    for person in people:
        office.telegram.trouble[person.chat] = [SendError("bad_request", code="400")]
    number = office.due()
    await office.run(number)
    assert office.state(number) == "paused"
    assert office.why(number) == "errors"
    assert office.results(number).total("failed") < 2 * SURGE_AT_LEAST
    office.telegram.trouble.clear()
    office.store.write_now(lambda connection: office.broadcasts.resume(connection, number))
    await office.run(number)
    assert office.state(number) == "done"
    assert office.results(number).total("sent") + office.results(number).total("failed") == 400


async def test_wrong_token_pauses(office: Office) -> None:
    """A refused token is the operator's matter: the broadcast waits, and nobody counts as failed."""
    people = office.subscribe(5)
    office.telegram.trouble[people[0].chat] = [SendError("auth", code="401")]
    number = office.due()
    await office.run(number)
    assert (office.state(number), office.why(number)) == ("paused", "auth")
    assert office.results(number).total("failed") == 0
    office.store.write_now(lambda connection: office.broadcasts.resume(connection, number))
    await office.run(number)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people)


async def test_pause_gives_back_what_was_claimed(office: Office) -> None:
    """A pause by the team: nobody is lost, nobody is uncertain, and the rest is sent after it."""
    people = office.subscribe(100)
    number = office.due()

    async def pause(address: Address) -> None:
        begun.append(address.chat)
        if len(begun) == 10:
            await office.store.write(lambda connection: office.broadcasts.pause(connection, number, "by_staff"))

    begun: list[str] = []
    office.telegram.before = pause
    await office.run(number)
    assert office.state(number) == "paused"
    assert len(office.telegram.sent) < 60
    office.store.write_now(lambda connection: office.broadcasts.resume(connection, number))
    await office.run(number)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people)
    assert office.results(number).counts == {("telegram", "sent", ""): 100}


async def test_clean_stop_of_the_program_loses_nobody(office: Office) -> None:
    """The program stops in the middle and starts again: each gets it once, nobody is uncertain."""
    people = office.subscribe(100)
    number = office.due()
    await office.run(number, until=lambda: len(office.telegram.sent) >= 15)
    await office.broadcaster.stop()
    assert 15 <= len(office.telegram.sent) < 100
    office.broadcaster = office.process()
    await office.run(number)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people)
    assert office.results(number).counts == {("telegram", "sent", ""): 100}


async def test_everything_stops_at_the_switch(office: Office) -> None:
    """The switch stops a running broadcast, and it goes on when the switch is released."""
    office.subscribe(100)
    number = office.due()

    async def switch(address: Address) -> None:
        if len(office.telegram.sent) == 10:
            await office.store.write(lambda connection: office.broadcasts.stop_all(connection, "budi"))

    office.telegram.before = switch
    await office.run(number, until=lambda: len(office.telegram.sent) >= 11)
    await office.broadcaster.idle()
    stopped_at = len(office.telegram.sent)
    assert stopped_at < 60
    await office.broadcaster.tick()
    await office.broadcaster.idle()
    assert len(office.telegram.sent) == stopped_at
    office.telegram.before = None
    office.store.write_now(office.broadcasts.release)
    await office.run(number)
    assert len(set(office.telegram.chats)) == len(office.telegram.chats) == 100


async def test_reply_keeps_its_distance(office: Office) -> None:
    """Somebody who was just answered gets the reminder after the platform's distance between two messages of one chat."""
    person = office.subscribe(1)[0]
    number = office.due()
    office.recent.note(person)
    waits = []

    async def note(address: Address) -> None:
        waits.append(office.recent.wait(address))

    office.telegram.before = note

    async def pass_time() -> None:
        for _ in range(400):
            office.time.now += 0.01
            await asyncio.sleep(0)

    await asyncio.gather(office.run(number), pass_time())
    assert waits == [0.0]
    assert office.telegram.chats == [person.chat]


async def test_hours_of_each_time_zone(office: Office) -> None:
    """Eight in the morning is eight in the morning where the subscriber lives."""
    zones = {"WIT": office.subscribe(2, region="91.01"), "WITA": office.subscribe(2, region="73.71"), "WIB": office.subscribe(2)}
    tomorrow = DAY + dt.timedelta(days=1)
    number = office.approved(office.draft(when=When(tomorrow, tomorrow)))
    at: dict[str, float] = {}

    async def note(address: Address) -> None:
        at[address.chat] = office.clock().timestamp()

    office.telegram.before = note
    await office.run(number, seconds=600)
    eight = dt.datetime(2024, 11, 19, 8, tzinfo=office.clock().tzinfo).timestamp()
    for zone, early in (("WIT", 2), ("WITA", 1), ("WIB", 0)):
        for person in zones[zone]:
            assert 0 <= at[person.chat] - (eight - early * 3600) <= 600, zone


async def test_nobody_is_written_to_at_night(office: Office) -> None:
    """What is not done by the end of the hours goes on the next morning; after the last day it is over, and the rest counts as late."""
    people = office.subscribe(4)
    number = office.approved(office.draft(when=When(DAY, DAY + dt.timedelta(days=1), "19:30", "20:00")))
    for person in people[:2]:
        office.telegram.trouble[person.chat] = [SendError("throttled", 3600.0, "429")] * 30
    hours = set()

    async def note(address: Address) -> None:
        hours.add((office.clock().day, office.clock().strftime("%H")))

    office.telegram.before = note
    await office.run(number, seconds=600)
    assert hours == {(18, "19"), (19, "19")}
    assert office.state(number) == "expired"
    results = office.results(number)
    assert results.total("sent") + results.counts[("telegram", "skipped", "late")] == 4


async def test_whatsapp_template_or_words(office: Office) -> None:
    """On WhatsApp who wrote today gets the words, everybody else the template; without a template they are skipped and counted."""
    old = office.subscribe(2, "whatsapp")
    office.clock.forward(days=1)
    office.store.write_now(lambda connection: office.subscribers.forget_days(connection, office.clock().date()))
    fresh = office.subscribe(1, "whatsapp")
    day = DAY + dt.timedelta(days=1)
    both = OnWhatsApp(TEMPLATE.template, TEMPLATE.wording, TEMPLATE.values, session="Besok masa tenang.")
    audience = Audience(channels=("whatsapp",))
    number = office.due(office.draft(when=When(day, day), audience=audience, whatsapp={"id": both}))
    await office.run(number)
    by_chat = {address.chat: outbound for address, outbound in office.whatsapp.sent}
    assert by_chat[old[0].chat].template == (TEMPLATE.template, "besok")
    assert by_chat[old[0].chat].text == "Halo, besok adalah masa tenang. BERHENTI untuk berhenti."
    assert by_chat[fresh[0].chat].template == ()
    assert office.results(number).counts == {("whatsapp", "sent", "template"): 2, ("whatsapp", "sent", "session"): 1}
    office.clock.forward(hours=2)
    words_only = office.draft(when=When(day, day), audience=audience, whatsapp={"id": OnWhatsApp(session="Besok.")})
    second = office.due(words_only)
    await office.run(second)
    assert office.results(second).counts == {("whatsapp", "skipped", "window"): 2, ("whatsapp", "sent", "session"): 1}


async def test_budget_and_countries(office: Office) -> None:
    """No more templates than the budget allows, and none to countries that are not meant."""
    office.subscribe(5, "whatsapp")
    foreign = Address("whatsapp", "whatsapp:+6591234567")
    office.subscribe(0)
    office.store.write_now(lambda connection: connection.execute(text("UPDATE subscriber SET heard = NULL")))
    wish = office.store.read_now(lambda connection: office.subscribers.get(connection, Address("whatsapp", "whatsapp:+628120000001")))
    assert wish is not None
    office.store.write_now(lambda connection: office.subscribers.subscribe(connection, foreign, wish.wish, DAY))
    office.store.write_now(lambda connection: connection.execute(text("UPDATE subscriber SET heard = NULL")))
    number = office.due(office.draft(audience=Audience(channels=("whatsapp",)), whatsapp={"id": TEMPLATE}, templates_at_most=3))
    await office.run(number)
    results = office.results(number)
    assert len(office.whatsapp.sent) == 3
    assert foreign.chat not in office.whatsapp.chats
    assert results.counts[("whatsapp", "skipped", "country")] == 1
    assert results.counts[("whatsapp", "skipped", "budget")] == 2


async def test_failures_are_sent_again_only_to_them(office: Office) -> None:
    """ "Kirim ulang yang gagal" makes a new draft for those who were not reached; it needs its own approval."""
    people = office.subscribe(20)
    for person in people[:3]:
        office.telegram.trouble[person.chat] = [SendError("bad_request", code="400")]
    number = office.due()
    await office.run(number)
    again = office.store.write_now(lambda connection: office.broadcasts.again(connection, number, "rina"))
    assert office.state(again) == "draft"
    office.telegram.sent.clear()

    def approve(connection: Connection) -> None:
        office.broadcasts.propose(connection, again)
        found = office.broadcasts.get(connection, again)
        assert found is not None
        office.broadcasts.approve(connection, again, "budi", found.draft.digest)

    office.store.write_now(approve)
    office.clock.forward(minutes=11)
    await office.run(again)
    assert sorted(office.telegram.chats) == sorted(person.chat for person in people[:3])
    assert office.state(again) == "done"


async def test_channel_that_is_off_is_counted(office: Office) -> None:
    """Subscribers of a channel that has no settings are skipped, and the result says so."""
    office.subscribe(3, "whatsapp")
    number = office.due(office.draft(audience=Audience(), whatsapp={"id": TEMPLATE}))
    office.broadcaster.channels = {"telegram": office.telegram}  # type: ignore[dict-item]
    await office.run(number)
    assert office.results(number).counts == {("whatsapp", "skipped", "channel_off"): 3}


async def test_who_moves_to_another_time_zone_gets_it_once(office: Office) -> None:
    """A subscriber who changes the region while the broadcast walks another zone is not written to a second time."""
    people = office.subscribe(1, region="91.01")
    office.subscribe(30)
    tomorrow = DAY + dt.timedelta(days=1)
    number = office.approved(office.draft(when=When(tomorrow, tomorrow)))
    await office.run(number, seconds=600, until=lambda: bool(office.telegram.sent))
    assert office.telegram.chats == [people[0].chat]
    known = office.store.read_now(lambda connection: office.subscribers.get(connection, people[0]))
    assert known is not None

    def move(connection: Connection) -> None:
        assert known is not None
        office.subscribers.stop(connection, people[0])
        office.subscribers.subscribe(connection, people[0], replace(known.wish, region="18.07"), tomorrow)

    office.store.write_now(move)
    await office.run(number, seconds=600)
    assert office.telegram.chats.count(people[0].chat) == 1
    assert len(office.telegram.sent) == 31


async def test_test_message_goes_to_ones_own_chat(office: Office) -> None:
    """ "Uji ke saya" sends the draft to the linked chat of the staff member, and to nobody else."""
    office.subscribe(5)
    staff_id = office.store.write_now(lambda connection: add(connection, "rina", ["broadcaster"], "", "empat kuda lari di pantai"))
    mine = Address("telegram", "777")

    def prepare(connection: Connection) -> None:
        code = office.staff_chats.new_code(connection, staff_id)
        assert office.staff_chats.link(connection, mine, code.lower()) == staff_id
        assert office.staff_chats.link(connection, mine, code) is None, "a code works once"
        number = office.broadcasts.save(connection, office.draft(), "rina")
        office.broadcasts.ask_test(connection, number, staff_id)

    office.store.write_now(prepare)
    await office.broadcaster.tick()
    await office.broadcaster.tick()
    assert office.telegram.chats == ["777"]
