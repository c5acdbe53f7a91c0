"""Subscribing with consent, and stopping with a word: at once, in every state, without losing what was being written."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from bot.messages import Address, Inbound
from handlers.subscribe import STOP_WORDS
from storage.models import Subscriber, Table
from storage.subscribers import CONSENT, Wish
from tests.talk import Machine, Talk


@pytest.fixture(autouse=True)
def tables(machine: Machine) -> None:
    """The tables as the models have them."""
    Table.metadata.create_all(machine.store.engine)


@pytest.fixture
def person(machine: Machine) -> Talk:
    """Somebody on Telegram."""
    return Talk(machine, "telegram")


def wish(machine: Machine, person: Talk) -> Wish | None:
    """What somebody is subscribed to."""
    found = machine.store.read_now(lambda connection: machine.desk.subscribers.get(connection, person.address))
    return found.wish if found else None


def subscribed(person: Talk) -> Talk:
    """Somebody who has subscribed."""
    person.says("/langganan").taps("ASN").says("Way Kanan").taps("Semua").taps("Setuju")
    return person.hears("subscribe.done")


def test_asks_four_things_and_then_for_consent(machine: Machine, person: Talk) -> None:
    """Role, region, kinds; then the whole is shown, and only a yes keeps it, with the version of the text that was agreed to."""
    person.says("langganan").is_asked("subscribe.role")
    person.taps("ASN").is_asked("subscribe.region")
    person.says("way kanan").is_asked("subscribe.kinds")
    person.taps("Aturan").is_asked("subscribe.consent")
    assert "Way Kanan" in person.text
    assert "ASN" in person.text
    assert wish(machine, person) is None
    person.says("ya").hears("subscribe.done")
    assert wish(machine, person) == Wish("asn", "18.08", "id", ("rules",))
    with machine.store.engine.connect() as connection:
        assert connection.execute(select(Subscriber.consent)).scalar() == CONSENT


def test_no_consent_keeps_nothing(machine: Machine, person: Talk) -> None:
    """Who does not agree is not kept."""
    person.says("langganan").taps("Warga").taps("Seluruh Indonesia").taps("Semua").taps("Tidak").hears("subscribe.refused")
    assert wish(machine, person) is None


def test_district_is_kept_as_its_regency(machine: Machine, person: Talk) -> None:
    """A district would say more of a person than a reminder needs."""
    person.says("langganan").taps("ASN").says("Way Jepara").taps("Semua").taps("Setuju")
    kept = wish(machine, person)
    assert kept is not None
    assert kept.region == "18.07"


def test_change_and_stop_by_menu(machine: Machine, person: Talk) -> None:
    """Who is subscribed is shown what stands, may change it, leave it, or stop."""
    subscribed(person)
    person.says("langganan").is_asked("subscribe.next").taps("Biarkan")
    assert wish(machine, person) is not None
    person.says("langganan").taps("Ubah").taps("Warga").taps("Seluruh Indonesia").taps("Semua").taps("Setuju")
    kept = wish(machine, person)
    assert kept is not None
    assert kept.role == "warga"
    person.says("langganan").taps("Berhenti").hears("stop.done")
    assert wish(machine, person) is None


@pytest.mark.parametrize("word", [*STOP_WORDS, "STOP", "Berhenti.", "  stop  ", "/stop@netra_bot", "BERHENTI!"])
def test_every_stop_word(machine: Machine, person: Talk, word: str) -> None:
    """Every word for stopping stops, however it is written."""
    subscribed(person)
    person.says(word).hears("stop.done")
    assert wish(machine, person) is None


def test_button_of_a_reminder(machine: Machine, person: Talk) -> None:
    """The button under a reminder stops too, long after the conversation is gone."""
    subscribed(person)
    person.presses("/berhenti").hears("stop.done")
    assert wish(machine, person) is None


def test_stop_in_the_middle_of_a_tip(machine: Machine, person: Talk) -> None:
    """Stop ends the reminders and nothing else: the question that waited is asked again, and the tip is sent as it was written."""
    subscribed(person)
    person.says("lapor").taps("Kampanye").taps("Media sosial").is_asked("tip.where")
    person.says("way kanan").is_asked("tip.when")
    person.says("kemarin").is_asked("tip.what")
    person.says("STOP").hears("stop.done", "turn.back_to_question").is_asked("tip.what")
    assert wish(machine, person) is None
    person.says("Kepala dinas membagikan unggahan calon bupati dari akun kantor kemarin.").is_asked("tip.who")
    assert "berhenti" not in str(person.state["answers"]).lower()


def test_stop_as_the_first_word_of_all(person: Talk) -> None:
    """Who answers an old reminder with STOP hears that it is done, and nothing else."""
    person.says("stop").hears("stop.none")
    assert len(person.heard) == 1
    assert person.buttons == []


def test_stop_at_the_menu_leaves_the_menu(machine: Machine, person: Talk) -> None:
    """The buttons of the menu that was shown still work after a stop."""
    subscribed(person)
    person.says("menu")
    menu = list(person.heard)
    person.says("stop").hears("stop.done")
    person.heard = menu
    person.taps("Privasi").hears("privacy.promise")


def test_stop_inside_a_story_is_part_of_it(machine: Machine, person: Talk) -> None:
    """Only the word alone stops; a story that holds it is a story."""
    subscribed(person)
    person.says("lapor").taps("Kampanye").taps("Media sosial").says("way kanan").says("kemarin")
    person.says("Dia bilang stop kampanye tetapi terus membagikan kaus calon.").is_asked("tip.who")
    assert wish(machine, person) is not None


def test_web_chat_cannot_be_written_to(machine: Machine) -> None:
    """On a page there is nothing to push to: that is said, and nothing is kept."""
    visitor = Talk(machine, "web_chat")
    visitor.says("langganan").hears("subscribe.only_messengers")
    assert machine.store.read_now(machine.desk.subscribers.size) == {}


def test_english(machine: Machine) -> None:
    """An English speaker subscribes and stops in English, and gets reminders in English."""
    visitor = Talk(machine, "whatsapp", "whatsapp:+628123")
    visitor._send(Inbound(visitor.address, "first", text="subscribe", language="en"))
    visitor.taps("Citizen").taps("All of Indonesia").taps("Everything").taps("Agree").hears("subscribe.done", language="en")
    kept = wish(machine, visitor)
    assert kept is not None
    assert kept.language == "en"
    visitor.says("unsubscribe").hears("stop.done", language="en")


def test_nothing_joins_a_subscriber_with_a_tip(machine: Machine, person: Talk) -> None:
    """No column of a subscriber has a value that stands in any other table."""
    subscribed(person)
    person.says("lapor").taps("Kampanye").taps("Media sosial").says("way kanan").says("kemarin")
    with machine.store.engine.connect() as connection:
        row: Any = connection.execute(select(Subscriber)).mappings().one()
        mine = {value for value in row.values() if isinstance(value, bytes)}
        for table in Table.metadata.sorted_tables:
            if table.name != "subscriber":
                for other in connection.execute(table.select()):
                    assert not mine & {value for value in other if isinstance(value, bytes)}, table.name


def test_row_is_found_by_hash_alone(machine: Machine) -> None:
    """Names of rows differ by channel and chat, and by installation."""
    subscribers = machine.desk.subscribers
    assert subscribers.name(Address("telegram", "1")) != subscribers.name(Address("whatsapp", "1"))
    assert subscribers.name(Address("telegram", "1")) == subscribers.name(Address("telegram", "1"))
