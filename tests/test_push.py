"""Opt-in notices: asked for, one neutral sentence, doubly wrapped, gone after 30 days or one tap; and the public notice page."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Connection, select

from bot.messages import Address, Outbound
from storage.models import PushHandle
from storage.vault import Broken, CaseKey, keyed, new_case_key, unseal, unseal_with
from tests.conftest import Clock
from tests.talk import Machine, Talk
from tests.test_export import account, private_key

WHAT = "Lurah membagikan kaus calon di balai kelurahan kemarin sore."
CHAT = "628123456789"


def tells(talk: Talk, what: str = WHAT) -> str:
    """A whole tip without photos; its receipt code."""
    talk.says("batal").says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(what)
    if talk.waiting == "tip.who":
        talk.taps("Lewati")
    if talk.waiting == "tip.above":
        talk.taps("Ya")
    talk.taps("Selesai").taps("Lewati").taps("Kirim")
    found = re.search(r"\d{4}(?: \d{4}){4}", talk.text)
    assert found, talk.text
    talk.says(found[0][-4:])
    return found[0]


def subscribed(machine: Machine) -> tuple[Talk, str]:
    """Somebody on Telegram who sent a tip and asked to be told of news."""
    talk = Talk(machine, "telegram", CHAT)
    code = tells(talk)
    talk.says(code).taps("Kabari saya").hears("follow_up.tell_me_sure").taps("Ya").hears("follow_up.telling")
    return talk, code


def answered(machine: Machine, words: str = "Terima kasih. Siapa saja yang hadir?") -> None:
    """The team answers the newest case."""
    me, key = account(machine).id, private_key(machine)

    def answer(connection: Connection) -> None:
        case = machine.cases.by_seal(connection, me, key, machine.cases.listed(connection, me, key)[0].id)
        assert case is not None
        machine.cases.tell_tipster(connection, case, "penelaah", words)

    machine.store.write_now(answer)


def queued(machine: Machine) -> list[tuple[Address, Outbound]]:
    rows = machine.store.read_now(lambda connection: machine.conversations.unsent(connection, channel="telegram"))
    return [(row.address, row.outbound) for row in rows]


def cleared(machine: Machine) -> None:
    machine.store.write_now(lambda connection: machine.conversations.drop(connection, Address("telegram", CHAT)))


def test_an_answer_sends_one_neutral_sentence(machine: Machine) -> None:
    """The sentence names no report, no team and no code, and holds the button that ends it."""
    subscribed(machine)
    cleared(machine)
    answered(machine)
    ((address, notice),) = queued(machine)
    assert address == Address("telegram", CHAT)
    assert notice.text == machine.texts.plain("id", "quiet.notice")
    assert not re.search(r"(?i)lapor|kode|tim|bukti", notice.text)
    (button,) = notice.buttons
    assert button.token.startswith("/diam ") and len(button.token.encode()) <= 64


def test_one_tap_ends_it(machine: Machine) -> None:
    """The button under the sentence ends the notices at once, without the code; a second answer sends nothing."""
    talk, _ = subscribed(machine)
    cleared(machine)
    answered(machine)
    token = queued(machine)[0][1].buttons[0].token
    talk.presses(token).hears("quiet.done")
    cleared(machine)
    answered(machine)
    assert queued(machine) == []
    talk.presses(token).hears("quiet.done")


def test_nobody_is_told_who_did_not_ask(machine: Machine) -> None:
    """Pull is the default: without the wish an answer sends nothing."""
    tells(Talk(machine, "telegram", CHAT))
    cleared(machine)
    answered(machine)
    assert queued(machine) == []


@pytest.mark.parametrize("channel", ["whatsapp", "web_chat"])
def test_notices_are_not_offered_elsewhere(machine: Machine, channel: str) -> None:
    """Not on WhatsApp, where a late message needs a template, and not in the web chat."""
    talk = Talk(machine, channel)
    talk.says(tells(talk))
    assert "Kabari saya" not in talk.labels


def test_the_default_answer_is_no(machine: Machine) -> None:
    """The first button of the question declines, and declining keeps nothing."""
    talk = Talk(machine, "telegram", CHAT)
    talk.says(tells(talk)).taps("Kabari saya")
    assert talk.labels[0] == "Tidak"
    talk.taps("Tidak")
    assert machine.store.read_now(lambda connection: connection.execute(select(PushHandle.case_id)).all()) == []


def test_it_can_be_ended_with_the_code(machine: Machine) -> None:
    """Who comes back with the code can end the notices too."""
    talk, code = subscribed(machine)
    talk.says(code).taps("Jangan kabari lagi").hears("quiet.done")
    assert machine.store.read_now(lambda connection: connection.execute(select(PushHandle.case_id)).all()) == []


def test_a_handle_dies_after_thirty_days(machine: Machine, clock: Clock) -> None:
    """On day 31 nothing is sent any more, and the row goes."""
    subscribed(machine)
    cleared(machine)
    clock.forward(days=30)
    answered(machine)
    assert len(queued(machine)) == 1
    cleared(machine)
    clock.forward(days=1)
    answered(machine)
    assert queued(machine) == []
    assert machine.store.write_now(lambda connection: machine.push.expire(connection, clock().date())) == 1


def test_neither_half_of_the_keys_opens_a_handle(machine: Machine) -> None:
    """The notifier's key without the case's opens nothing, nor the case's without the notifier's; no byte of the chat stands there."""
    subscribed(machine)
    row = machine.store.read_now(lambda connection: connection.execute(select(PushHandle)).mappings().one())
    case_id, body = row["case_id"], row["body"]
    me, key = account(machine).id, private_key(machine)
    with machine.store.engine.connect() as connection:
        case = machine.cases.by_seal(connection, me, key, case_id)
        assert case is not None
        peeled = machine.push.peeled(connection, case_id, case.key, machine.clock().date())
        assert peeled is not None and peeled.address == Address("telegram", CHAT)
        assert machine.push.peeled(connection, case_id, new_case_key(), machine.clock().date()) is None
    inner = unseal(keyed(case.key.private, b"push", b""), b"h", b"push_handle.body" + case_id, body)
    with pytest.raises(Broken):
        unseal_with(case.key.private, b"h", b"push_handle.inner" + case_id, inner)
    assert CHAT.encode() not in body and CHAT.encode() not in inner
    for path in machine.folder.glob("netra.db*"):
        assert CHAT.encode() not in path.read_bytes()


def test_every_handle_has_one_size(machine: Machine) -> None:
    """A long address takes as much room as a short one."""
    key = CaseKey(bytes(range(32)))
    sizes = set()
    for number, chat in enumerate(("1", "-1001234567890123", "x" * 64)):
        case = tells(Talk(machine, "telegram", f"t{number}")) and machine.store.read_now(
            lambda connection: machine.cases.metadata(connection)[0].id
        )
        machine.store.write_now(
            lambda connection, case=case, chat=chat: machine.push.keep(
                connection, case, key, Address("telegram", chat), "id", machine.clock().date()
            )
        )
        sizes |= {
            len(body) for body in machine.store.read_now(lambda connection: connection.execute(select(PushHandle.body)).scalars().all())
        }
        machine.store.write_now(lambda connection, case=case: machine.push.end(connection, case))
    assert len(sizes) == 1


def test_the_sender_is_woken_after_the_answer(machine: Machine) -> None:
    """Whoever sends is told which chat has something waiting."""
    woken: list[Address] = []
    machine.push.queued = woken.append
    subscribed(machine)
    answered(machine)
    assert woken == [Address("telegram", CHAT)]


def test_a_chat_is_muted_without_being_known(machine: Machine) -> None:
    """Muting works through the handle alone; without one the answer is that it is not possible."""
    machine.push.mute = machine.quotas.mute
    me, key = account(machine).id, private_key(machine)

    def mute(connection: Connection) -> bool:
        case = machine.cases.by_seal(connection, me, key, machine.cases.listed(connection, me, key)[0].id)
        assert case is not None
        return machine.cases.mute(connection, case)

    talk = Talk(machine, "telegram", CHAT)
    code = tells(talk)
    assert machine.store.write_now(mute) is False
    talk.says(code).taps("Kabari saya").taps("Ya")
    assert machine.store.write_now(mute) is True
    assert machine.quotas.muted(Address("telegram", CHAT))
    assert not machine.quotas.muted(Address("telegram", "1"))


def test_the_notice_page_lists_aliases_with_news_alone(machine: Machine) -> None:
    """A case is listed from an answer until its tipster has read it; nothing but its two words is shown."""
    talk = Talk(machine)
    code = tells(talk)
    assert machine.store.read_now(machine.cases.notices) == []
    answered(machine)
    (alias,) = machine.store.read_now(machine.cases.notices)
    talk.says(code)
    assert alias in talk.text
    talk.taps("Selesai")
    assert machine.store.read_now(machine.cases.notices) == []
