"""Limits against abuse: per chat and day in memory alone, patience instead of a lock-out, a floor for the disk, the same photo once."""

from __future__ import annotations

import asyncio
import io
import random
import re
import secrets
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from bot.channels.limits import LIMITS
from bot.messages import Address, Attachment, Inbound
from bot.outbox import Sender
from bot.quotas import BURST, FULL_SECONDS, PER_MINUTE, PHOTOS_A_DAY, SURGE_SECONDS, SURGE_TIPS, TIPS_A_DAY, Quotas
from bot.work import DISK_FLOOR, Worker
from handlers.tip import SUMS
from storage.evidence import Cleaner
from storage.originals import Waiting
from tests.talk import Machine, Talk
from tests.test_export import account, private_key
from tests.test_push import WHAT, tells

CHAT, OTHER = Address("telegram", "1"), Address("telegram", "2")


class Watch:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the counters -----------------------------------------------------------------------------------------------------------------


def test_counts_are_per_chat_and_end_with_the_day() -> None:
    """One chat's share says nothing about another's; after a day everything that was counted is gone, with its key."""
    watch = Watch()
    quotas = Quotas(watch)
    for _ in range(TIPS_A_DAY):
        assert quotas.may_send_tip(CHAT)
        quotas.tip_sent(CHAT)
    assert not quotas.may_send_tip(CHAT) and quotas.may_send_tip(OTHER)
    assert all(quotas.take_photo(CHAT) for _ in range(PHOTOS_A_DAY))
    assert not quotas.take_photo(CHAT) and quotas.take_photo(OTHER)
    quotas.mute(CHAT)
    assert quotas.muted(CHAT) and not quotas.muted(OTHER)
    watch.now += 24 * 3600 + 1
    assert quotas.may_send_tip(CHAT) and quotas.take_photo(CHAT) and not quotas.muted(CHAT)


def test_a_chat_is_not_named_in_memory() -> None:
    """Counters are kept under a keyed hash; two processes name one chat differently."""
    names = set()
    for _ in range(2):
        quotas = Quotas()
        quotas.tip_sent(Address("whatsapp", "whatsapp:+628123456789"))
        names |= set(quotas._tips)
    assert len(names) == 2 and all(b"628" not in name for name in names)


def test_thirty_messages_at_once_and_twenty_a_minute() -> None:
    """Who floods waits, nobody else does; and who was silent for two minutes is not even counted any more."""
    watch = Watch()
    quotas = Quotas(watch)
    assert [quotas.may_say(CHAT) for _ in range(BURST + 2)] == [True] * BURST + [False, False] and quotas.may_say(OTHER)
    watch.now += 60
    assert [quotas.may_say(CHAT) for _ in range(PER_MINUTE + 1)] == [True] * PER_MINUTE + [False]
    watch.now += FULL_SECONDS + 1
    assert quotas.may_say(OTHER) and len(quotas._said) == 1


def test_a_surge_is_over_when_the_tips_are_old() -> None:
    """Only tips of the last minutes count, of all chats together."""
    watch = Watch()
    quotas = Quotas(watch)
    for number in range(SURGE_TIPS):
        assert not quotas.surge()
        quotas.tip_sent(Address("web_chat", str(number)))
    assert quotas.surge()
    watch.now += SURGE_SECONDS + 1
    assert not quotas.surge()


# --- in the conversation ------------------------------------------------------------------------------------------------------------


def test_the_fourth_tip_of_a_day_waits(machine: Machine) -> None:
    """It is not sent and not lost: the draft stays, and the person is told when to try again."""
    talk = Talk(machine)
    for _ in range(TIPS_A_DAY):
        tells(talk)
    talk.says("batal").says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati")
    talk.taps("Selesai").taps("Lewati").taps("Kirim").hears("tip.enough_today").is_asked("tip.send")
    assert WHAT in talk.text
    assert len(machine.store.read_now(machine.cases.metadata)) == TIPS_A_DAY


def test_in_a_surge_a_small_sum_is_asked_and_nobody_is_locked_out(machine: Machine) -> None:
    """A wrong answer is explained, a right one in words or figures goes on, and the tip is sent."""
    for number in range(SURGE_TIPS):
        machine.quotas.tip_sent(Address("web_chat", str(number)))
    talk = Talk(machine)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati").taps("Selesai").taps("Lewati")
    talk.is_asked("tip.patience").says("99").hears("tip.patience_wrong").is_asked("tip.patience")
    numbers = {machine.texts.plain("id", f"tip.numbers.{number}"): number for number in range(2, 7)}
    words = machine.texts.plain("id", "tip.patience", {"one": "\0", "other": "\1"})
    between, end = words.split("\0")[1].split("\1")
    sum_text = talk.text.rsplit(words.split("\0")[0][-30:], 1)[1]
    one, other = sum_text.split(end)[0].split(between)
    talk.says(SUMS[numbers[one] + numbers[other]][0]).is_asked("tip.send").taps("Kirim")
    assert len(machine.store.read_now(machine.cases.metadata)) == 1


def test_without_a_surge_nothing_is_asked(machine: Machine) -> None:
    """The sum is asked in a flood alone."""
    talk = Talk(machine)
    tells(talk)
    assert len(machine.store.read_now(machine.cases.metadata)) == 1


def test_a_surge_that_ends_meanwhile_does_not_ask_again(machine: Machine) -> None:
    """An answered sum stays answered, whatever happens to the flood."""
    for number in range(SURGE_TIPS):
        machine.quotas.tip_sent(Address("web_chat", str(number)))
    talk = Talk(machine)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati").taps("Selesai").taps("Lewati")
    machine.quotas._recent.clear()
    talk.says("menu").taps("Lanjutkan laporan").is_asked("tip.send").taps("Kirim")
    assert len(machine.store.read_now(machine.cases.metadata)) == 1


def test_a_tip_about_an_overseer_is_asked_where_it_goes(machine: Machine) -> None:
    """Only where such an office is named; the answer stands in the summary and in the case."""
    talk = Talk(machine)
    tells(talk, "Anggota Bawaslu kabupaten ikut acara partai kemarin malam.")
    me, key = account(machine).id, private_key(machine)
    with machine.store.engine.connect() as connection:
        case = machine.cases.by_seal(connection, me, key, machine.cases.metadata(connection)[0].id)
    assert case is not None and case.tip["above"] is True


# --- photos, in the worker ---------------------------------------------------------------------------------------------------------------


class Photos:
    """A channel whose photos are handed over in the test."""

    name, limits = "telegram", LIMITS["telegram"]

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def fetch(self, attachment: Attachment) -> bytes:
        return self.files[attachment.source]

    def routes(self) -> list[web.RouteDef]:
        return []


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(out, "JPEG")
    return out.getvalue()


async def taken(machine: Machine, sources: dict[str, bytes], **given: object) -> list[Attachment]:
    """What the worker makes of these photos of one message."""
    photos, cleaner = Photos(), Cleaner()
    photos.files = sources
    worker = Worker(
        machine.store,
        machine.conversations,
        machine.conductor(),
        {"telegram": photos},  # type: ignore[dict-item]
        Sender(machine.store, machine.conversations, {}),
        cleaner,
        machine.receipts,
        machine.sessions,
        machine.cases.known,
        machine.clock,
        **given,  # type: ignore[arg-type]
    )
    try:
        prepared = await worker._prepare(Inbound(CHAT, "m1", attachments=tuple(Attachment(source=source) for source in sources)))
        return list(prepared.attachments)
    finally:
        await worker.stop()
        cleaner.close()


def test_the_same_photo_is_kept_once(machine: Machine) -> None:
    """A photo that the draft has already is noticed and said, not stored twice."""
    first, again, other = asyncio.run(taken(machine, {"a": picture("red"), "b": picture("red"), "c": picture("blue")}))
    assert first.evidence and other.evidence
    assert again == Attachment(refused="again")
    assert machine.texts.has("errors.file_again")


def test_a_photo_whose_turn_a_crash_took_away_is_taken_again(machine: Machine) -> None:
    """Kept but named by no answer: when the message comes again, its photo is not called a second one."""
    (before,) = asyncio.run(taken(machine, {"a": picture("red")}))
    (after,) = asyncio.run(taken(machine, {"a": picture("red")}))
    assert before.evidence and after.evidence


def test_a_photo_that_an_answer_names_is_not_taken_again(machine: Machine) -> None:
    """The same picture in a later message is noticed as well."""
    talk = Talk(machine, CHAT.channel, CHAT.chat)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati")
    (first,) = asyncio.run(taken(machine, {"a": picture("red")}))
    talk._send(Inbound(CHAT, "album", attachments=(first,)))
    (again,) = asyncio.run(taken(machine, {"a": picture("red")}))
    assert again == Attachment(refused="again")


def test_photos_that_look_the_same_are_pointed_out(machine: Machine) -> None:
    """The same scene in two sizes is kept twice, and said in the summary; two scenes are not."""

    def scene(seed: int, size: tuple[int, int]) -> bytes:
        out = io.BytesIO()
        Image.frombytes("RGB", (9, 8), random.Random(seed).randbytes(216)).resize((360, 320)).resize(size).save(out, "JPEG")
        return out.getvalue()

    for second, alike in ((scene(1, (180, 160)), True), (scene(2, (180, 160)), False)):
        talk = Talk(machine, CHAT.channel, f"two scenes {alike}")
        talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati")
        both = asyncio.run(taken(machine, {"a": scene(1, (360, 320)), "b": second}))
        talk._send(Inbound(talk.address, "album", attachments=tuple(both)))
        talk.says("selesai").says("lewati").is_asked("tip.send")
        assert (machine.texts.plain("id", "tip.photos_alike") in talk.text) is alike


def test_below_the_disk_floor_photos_are_refused_with_the_reason(machine: Machine) -> None:
    """Text still comes in; a photo is refused before it is fetched."""
    (refused,) = asyncio.run(taken(machine, {"a": b""}, free=lambda: DISK_FLOOR - 1))
    assert refused == Attachment(refused="disk") and machine.texts.has("errors.file_disk")
    (kept,) = asyncio.run(taken(machine, {"a": picture("red")}, free=lambda: DISK_FLOOR))
    assert kept.evidence


def test_thirty_photos_a_day_and_no_more(machine: Machine) -> None:
    """The thirty-first is refused before it is fetched, with the reason."""
    quotas = Quotas()
    for _ in range(PHOTOS_A_DAY):
        quotas.take_photo(CHAT)
    (refused,) = asyncio.run(taken(machine, {"a": b""}, quotas=quotas))
    assert refused == Attachment(refused="enough") and machine.texts.has("errors.file_enough")


def test_a_muted_chat_leaves_nothing(machine: Machine) -> None:
    """What a muted chat sends is dropped at the door: no row, no answer."""
    quotas = Quotas()
    quotas.mute(CHAT)

    async def send() -> bool:
        worker = Worker(
            machine.store,
            machine.conversations,
            machine.conductor(),
            {},
            Sender(machine.store, machine.conversations, {}),
            Cleaner(),
            machine.receipts,
            machine.sessions,
            machine.cases.known,
            machine.clock,
            quotas=quotas,
            originals=Waiting(),
        )
        return await worker.receive(Inbound(CHAT, secrets.token_hex(4), text="halo"))

    assert asyncio.run(send()) is False
    assert machine.store.read_now(machine.conversations.backlog) == (0, 0)


@pytest.mark.parametrize("reason", ["again", "enough", "disk"])
def test_every_refusal_is_said(machine: Machine, reason: str) -> None:
    """A refused photo gets its reason as the answer, and the question waits on."""
    talk = Talk(machine)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati").is_asked("tip.photos")
    talk.sends_file(reason).hears(f"errors.file_{reason}").is_asked("tip.photos")
    assert Path(machine.folder).exists()


KINDS = ("kind", "large", "pixels", "moving", "broken", "video", "voice", "document", "sticker", "contact", "location", "other")


@pytest.mark.parametrize("reason", KINDS)
def test_a_refusal_says_what_to_do_and_that_nothing_was_kept(machine: Machine, reason: str) -> None:
    """Whatever cannot be taken: what to send instead, and that it was not stored, in both languages."""
    for language, instead, dropped in (
        ("id", r"\b(?:[Kk]irim|[Tt]ulis|[Kk]etik|[Ff]oto)\b", "disimpan"),
        ("en", r"\b(?:[Ss]end|[Ww]rite|[Tt]ype|photo)\b", "stored"),
    ):
        said = machine.texts.plain(language, f"errors.file_{reason}")
        assert re.search(instead, said) and dropped in said, said
