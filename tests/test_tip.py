"""An anonymous tip, from its first question to the code, as people give it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import delete

from bot.chat import Chat
from bot.questions import text
from bot.quotas import SURGE_TIPS, TIPS_A_DAY
from faq.match import Faq
from handlers import tip as tip_flow
from storage.cases import OpenCase
from storage.models import Case, DraftEvidence, Staff
from tests.conftest import Clock
from tests.known_faq import KnownFaq
from tests.stations import STORY, TIP, at, sent_code, walk
from tests.talk import Machine, Talk


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


def opened(machine: Machine, code: str) -> OpenCase:
    """The case behind a code, as its tipster may open it."""
    receipt = machine.receipts.derive(machine.receipts.hashed(code.replace(" ", "")))
    with machine.store.engine.connect() as connection:
        case = machine.cases.by_receipt(connection, receipt)
    assert case is not None
    return case


def tables(machine: Machine, table: Any) -> int:
    """How many rows a table has."""
    with machine.store.engine.connect() as connection:
        return len(connection.execute(table.__table__.select()).all())


# --- the way through --------------------------------------------------------------------------------------------------------------------


def test_a_tip_with_everything(machine: Machine, talk: Talk) -> None:
    """Each question in its order; the summary shows all of it; the case holds what was confirmed."""
    talk.says("lapor").hears("tip.promise", "tip.indicator").is_asked("tip.indicator")
    talk.taps("Kampanye").hears("tip.kind").is_asked("tip.kind")
    talk.taps("Uang atau barang").hears("tip.where").is_asked("tip.where")
    talk.says("lamtim").hears("tip.when").is_asked("tip.when")
    talk.taps("Kemarin").hears("tip.what").is_asked("tip.what")
    talk.says(STORY).hears("tip.who").is_asked("tip.who")
    talk.says("Camat X").hears("tip.photos").is_asked("tip.photos")
    talk.sends_photos(2).hears("tip.photos_more").is_asked("tip.photos.2")
    talk.sends_photos(1, text="pintu balai desa").says("selesai").hears("tip.more").is_asked("tip.more")
    talk.says("ada rekaman juga").hears("tip.send").is_asked("tip.send")
    for shown in (
        "Kampanye",
        "Uang atau barang",
        "Kabupaten Lampung Timur, Lampung",
        "17/11/2024",
        STORY,
        "Camat X",
        "Foto: 3",
        "ada rekaman juga",
        "pintu",
    ):
        assert shown in talk.text
    talk.taps("Kirim").hears("tip.receipt").is_asked("saved_code.last_group")
    case = opened(machine, sent_code(talk))
    assert case.tip["what"] == STORY
    assert (case.tip["region"], case.tip["when"], case.tip["kind"]) == ("18.07", "2024-11-17", "uang")
    assert "pintu balai desa" in case.tip["more"] and "ada rekaman juga" in case.tip["more"]
    assert case.head["photos"] == 3


def test_the_least_that_is_a_tip(machine: Machine, talk: Talk) -> None:
    """Nothing but a kind and what happened; the rest may be unknown, and what would help is said once, kindly."""
    walk(talk, ("lapor", "lainnya", "tidak tahu", "lupa", "Kepala sekolah mengajak memilih.", "lewati", "tidak ada foto"))
    talk.hears("tip.more_who").is_asked("tip.more")
    talk.says("-").is_asked("tip.send")
    assert "Tempat" not in talk.text and "Tanggal" not in talk.text and "Pelaku" not in talk.text
    talk.says("kirim").hears("tip.receipt")
    assert opened(machine, sent_code(talk)).tip["region"] == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({6: "lewati"}, "tip.more_who"),
        ({4: "tidak yakin"}, "tip.more_when"),
        ({}, "tip.more_photos"),
        ({5: "Camat membagikan amplop di sana.", 7: "@1 selesai"}, "tip.more_short"),
        ({7: "@1 selesai"}, "tip.more"),
    ],
)
def test_what_is_missing_is_said_once(talk: Talk, changed: dict[int, str], said: str) -> None:
    """The most useful thing first, and never twice."""
    lines = [changed.get(number, line) for number, line in enumerate(TIP[:8])]
    for line in lines:
        walk(talk, tuple(line.split(" ", 1)) if line.startswith("@") else (line,))
    talk.hears(said).is_asked("tip.more")


def test_too_little_is_politely_refused(talk: Talk) -> None:
    """With how much it should be."""
    walk(talk, TIP[:5]).says("ada uang").hears("errors.too_short").is_asked("tip.what")
    assert "20 huruf" in talk.text
    talk.says("x" * 3001).hears("errors.too_long").is_asked("tip.what")
    assert "3001" in talk.text
    talk.says("Camat " + "membagikan amplop " * 160).is_asked("tip.who")


def test_a_place_that_is_many(talk: Talk) -> None:
    """Several places of one name are offered with what they lie in; a name that is theirs alike chooses none of them."""
    walk(talk, TIP[:3]).says("sukadana").is_asked("tip.where_which")
    assert len({button.detail for button in talk.buttons[:3]}) == 3
    talk.says("sukadana").hears("errors.choose_one").is_asked("tip.where_which")
    talk.says("tidak ada yang cocok").is_asked("tip.where.1")
    talk.says("sukadana").says("1").is_asked("tip.when")
    assert "where_which.1" in talk.state["answers"]


def test_a_place_that_is_none(talk: Talk) -> None:
    """It is said, and the question waits."""
    walk(talk, TIP[:3]).says("qqqqqq zzz").hears("errors.place_unknown").is_asked("tip.where")


# --- what the summary allows ----------------------------------------------------------------------------------------------------------


EDITS = [
    ("ubah pelanggaran", ("partai", "ikut acara partai"), "Ikut acara partai"),
    ("ubah tempat", ("bandar lampung",), "Kota Bandar Lampung"),
    ("ubah tanggal", ("3 hari lalu",), "15/11/2024"),
    ("ubah kejadian", ("Lurah membagikan sembako di aula kelurahan",), "sembako"),
    ("ubah pelaku", ("Lurah Y",), "Lurah Y"),
    ("ubah foto", ("@2", "selesai"), "Foto: 2"),
    ("ubah tambahan", ("ada dua saksi",), "dua saksi"),
]


@pytest.mark.parametrize(("command", "answers", "shown"), EDITS)
@pytest.mark.parametrize("how", ["word", "button", "number"])
def test_each_answer_can_be_changed(talk: Talk, how: str, command: str, answers: tuple[str, ...], shown: str) -> None:
    """By word, button or number; only that answer is asked again, and the whole is shown again."""
    walk(talk, TIP).is_asked("tip.send")
    label = command.capitalize()
    if how == "word":
        talk.says(command)
    elif how == "button":
        talk.taps(label)
    else:
        talk.says(str(talk.labels.index(label) + 1))
    assert "Pilih salah satu" not in talk.text, "nobody did anything wrong"
    walk(talk, answers).is_asked("tip.send")
    assert "Pilih salah satu" not in talk.text
    assert shown in talk.text
    assert (STORY in talk.text) == (command != "ubah kejadian")


def test_an_answer_can_be_changed_before_the_summary(talk: Talk) -> None:
    """ "Ubah tempat" works in the middle, too."""
    walk(talk, TIP[:6]).is_asked("tip.who").says("ubah tempat").is_asked("tip.where").says("kota metro").is_asked("tip.who")


def test_photos_that_an_edit_brings_back_are_still_there(machine: Machine, talk: Talk) -> None:
    """Back after "change photos" keeps them, in the database as well; new photos replace them."""
    walk(talk, (*TIP[:7], "@2", "selesai", "lewati")).is_asked("tip.send")
    talk.says("ubah foto").is_asked("tip.photos").says("kembali").is_asked("tip.send")
    assert "Foto: 2" in talk.text
    assert tables(machine, DraftEvidence) == 2
    talk.says("ubah foto")
    walk(talk, ("@1", "selesai")).is_asked("tip.send")
    assert tables(machine, DraftEvidence) == 1
    talk.says("kirim")
    assert opened(machine, sent_code(talk)).head["photos"] == 1
    assert tables(machine, DraftEvidence) == 0


def test_a_photo_at_the_summary_is_added(talk: Talk) -> None:
    """And the confirm that did not show it is asked again."""
    walk(talk, TIP).sends_photos(1).hears("turn.photos_kept").is_asked("tip.photos.1")
    talk.says("selesai").is_asked("tip.send")
    assert "Foto: 1" in talk.text


def test_the_day_that_was_meant_stays(clock: Clock, talk: Talk) -> None:
    """ "Kemarin", said before midnight, is the same day after midnight."""
    clock.forward(hours=13, minutes=50)
    walk(talk, TIP[:5])
    clock.forward(minutes=20)
    walk(talk, TIP[5:]).is_asked("tip.send")
    assert "17/11/2024" in talk.text


def test_a_deploy_at_the_summary_of_the_real_tip(machine: Machine, talk: Talk) -> None:
    """A question inserted while the person reads the summary is asked; the yes to the old summary does not send."""
    real = machine.flows["tip"].run

    async def longer(chat: Chat) -> Any:
        witnesses = "" if "send" not in chat.answers and "witnesses" not in chat.answers else await chat.ask("witnesses", text())
        result = await real(chat)
        return result if witnesses else None

    machine.speaks(tip__witnesses="Witnesses?")
    walk(talk, TIP).is_asked("tip.send")
    machine.extra["tip"] = machine.flows["tip"]
    machine.deploys(tip=longer)
    talk.says("kirim").is_asked("tip.witnesses")
    assert tables(machine, Case) == 0


def test_a_question_removed_from_the_real_tip(machine: Machine, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that a deploy renames are asked again; every other answer is kept."""
    walk(talk, TIP[:6]).is_asked("tip.who")
    monkeypatch.setitem(tip_flow.KINDS, "kampanye", ("media_sosial", "ajakan"))
    talk.says("Camat X").is_asked("tip.kind")
    talk.says("ajakan memilih").is_asked("tip.photos")
    assert talk.state["answers"]["who"]["text"] == "Camat X"


# --- who writes ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind", "gone"),
    [
        ("nama saya Budi Santoso, saya melihat sendiri", "nama", "Budi Santoso"),
        ("hubungi saya di 0812-3456-7890 ya", "nomor telepon", "3456"),
        ("email saya budi.s@contoh.co.id", "alamat e-mail", "budi.s"),
        ("NIK saya 1871012304880001", "NIK", "1871012304880001"),
    ],
)
def test_the_writers_own_identity_is_noticed(machine: Machine, talk: Talk, words: str, kind: str, gone: str) -> None:
    """It is named, and taken out when the person wants; what is sent does not hold it."""
    walk(talk, TIP[:8]).says(words).hears("tip.identity").is_asked("tip.identity")
    assert kind in talk.text
    talk.says("hapus").is_asked("tip.send")
    assert gone not in talk.text
    talk.says("kirim")
    assert gone not in json.dumps(dict(opened(machine, sent_code(talk)).tip), ensure_ascii=False)


def test_identity_may_stay_but_consent_holds_for_these_words_only(talk: Talk) -> None:
    """Who keeps a number and then writes another is asked again."""
    walk(talk, (*TIP[:8], "telepon camat 0812-3456-7890", "biarkan")).is_asked("tip.send")
    assert "0812-3456-7890" in talk.text
    talk.says("ubah tambahan").says("telepon camat 0812-3456-7890, telepon saya 0856-1111-2222").is_asked("tip.identity")


@pytest.mark.parametrize(
    "words",
    ["nama saya tidak mau disebut", "nama saya jangan disebut", "mohon nama saya dirahasiakan", "ada 12 orang, jam 10.30, Rp 100.000"],
)
def test_what_is_no_identity_raises_no_alarm(talk: Talk, words: str) -> None:
    """A wish to stay unnamed is not a name."""
    walk(talk, TIP[:8]).says(words).is_asked("tip.send")


# --- questions in between ------------------------------------------------------------------------------------------------------------


def test_a_question_in_the_middle_is_answered(talk: Talk) -> None:
    """In one short card, at a choice and at a free question; the pending question is asked again and nothing is lost."""
    for lines, name in ((TIP[:2], "tip.kind"), (TIP[:4], "tip.when"), (TIP[:5], "tip.what"), (TIP[:7], "tip.photos"), (TIP, "tip.send")):
        other = walk(Talk(talk.machine), lines)
        before = dict(other.state["answers"])
        other.says("boleh ga sy like postingan cabup?").hears("turn.back_to_question").is_asked(name)
        assert "DILARANG" in other.text
        assert dict(other.state["answers"]) == before


@pytest.mark.parametrize(
    "story",
    [
        "Camat bilang siapa mau amplop? lalu like postingan cabup di depan kami semua",
        "Saya lihat kepala dinas like postingan cabup, apakah itu benar?",
        "like postingan cabup terus setiap hari, bagaimana ini?",
        "Boleh saya cerita? " + "Kepala dinas like postingan cabup di akun resmi dan menyuruh staf ikut. " * 4,
    ],
)
def test_a_story_is_not_taken_for_a_question(talk: Talk, story: str) -> None:
    """Even when it holds a question mark and words that the FAQ knows."""
    walk(talk, TIP[:5]).says(story).is_asked("tip.who")
    assert talk.state["answers"]["what"]["text"] == story


def test_an_answer_comes_before_the_faq(talk: Talk) -> None:
    """What the question takes is an answer, whatever the FAQ might say to it."""
    walk(talk, TIP[:1]).says("kampanye").is_asked("tip.kind")


def test_words_that_start_other_flows(talk: Talk) -> None:
    """At a choice they lead there, and the draft waits; in a story they are part of it."""
    walk(talk, TIP[:2]).says("cek laporan").hears("turn.parked").is_asked("follow_up.code")
    talk.says("/lapor").hears("turn.resumed").is_asked("tip.kind")
    walk(talk, TIP[2:6]).says("lapor").is_asked("tip.photos")
    assert talk.state["answers"]["who"]["text"] == "lapor"


def test_hapus_is_understood_where_it_is_an_answer(talk: Talk) -> None:
    """ "Hapus" at the identity warning takes the name out; it does not offer to erase the conversation."""
    walk(talk, (*TIP[:8], "nama saya Budi Santoso")).is_asked("tip.identity").says("hapus").is_asked("tip.send")


# --- the end --------------------------------------------------------------------------------------------------------------------------


def test_the_code_is_shown_once_and_retyped(machine: Machine, talk: Talk) -> None:
    """Alone in a message that is secret; a wrong last group is noticed, the right one ends it and asks the channel to forget."""
    walk(talk, (*TIP, "kirim"))
    assert [message.secret for message in talk.heard] == [True, False]
    code = sent_code(talk)
    right = code.split()[-1]
    wrong = f"{(int(right) + 1) % 10000:04d}"
    talk.says(wrong).hears("saved_code.wrong").is_asked("saved_code.last_group")
    talk.says("bantuan").is_asked("saved_code.last_group")
    talk.says(right).hears("saved_code.right").is_asked("menu.wish")
    assert [message.forget for message in talk.heard].count(True) == 1
    assert code not in talk.text


@pytest.mark.parametrize("last", ["0001", "0002", "0003", "1", "2"])
def test_digits_of_a_code_are_no_numbers_of_choices(machine: Machine, talk: Talk, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who retypes "0001" means their code, not the first button."""
    walk(talk, (*TIP, "kirim"))
    if len(last) == 4:
        for handle in machine.last_groups._groups:
            machine.last_groups._groups[handle] = (last, 0.0)
        talk.says(last).hears("saved_code.right")
    else:
        assert talk.says(last).waiting == "menu.wish"


def test_the_whole_code_may_be_retyped(machine: Machine, talk: Talk) -> None:
    """It shows as well that it was written down; another code does not."""
    other = sent_code(walk(Talk(machine), (*TIP, "kirim")))
    walk(talk, (*TIP, "kirim"))
    code = sent_code(talk)
    if other[-4:] != code[-4:]:
        talk.says(other).hears("saved_code.wrong").is_asked("saved_code.last_group")
    talk.says(code).hears("saved_code.right")


def test_cancelling_afterwards_does_not_sound_like_withdrawing(machine: Machine, talk: Talk) -> None:
    """The tip is sent; what is said then is about the code."""
    walk(talk, (*TIP, "kirim")).says("batal").hears("saved_code.later").is_asked("menu.wish")
    assert "sudah dihapus" not in talk.text
    assert tables(machine, Case) == 1


def test_no_team_yet(machine: Machine, talk: Talk) -> None:
    """Where nobody could read it, the tip is not lost: the confirm waits, and works once there is a team."""
    machine.store.write_now(lambda connection: connection.execute(delete(Staff)))
    machine.receipts.refill()
    ready = len(machine.receipts._fresh)
    walk(talk, (*TIP, "kirim")).hears("tip.no_team").is_asked("tip.send")
    assert len(machine.receipts._fresh) == ready, "a code was used up for nothing"
    machine.receiver("baru")
    talk.says("kirim").hears("tip.receipt")


def test_receipts_are_made_when_none_is_ready(machine: Machine, talk: Talk) -> None:
    """The turn waits for one; nothing is sent twice."""
    machine.receipts._fresh.clear()
    walk(talk, (*TIP, "kirim")).hears("tip.receipt")
    assert tables(machine, Case) == 1


def test_after_a_tip_the_chat_holds_nothing_of_it(machine: Machine, talk: Talk) -> None:
    """No word, no photo, no code in the conversation's state."""
    walk(talk, (*TIP[:7], "@2", "selesai", "lewati", "kirim"))
    code = sent_code(talk)
    state = json.dumps(talk.state, ensure_ascii=False)
    for word in ("amplop", "Camat", code, code.replace(" ", ""), code[-4:]):
        assert word not in state
    assert tables(machine, DraftEvidence) == 0


def test_a_chat_may_send_so_many_tips_a_day(machine: Machine, talk: Talk) -> None:
    """Then it is told, and nothing of the draft is lost; other chats are not touched."""
    for _ in range(TIPS_A_DAY):
        walk(talk, (*TIP, "kirim", "nanti"))
    walk(talk, (*TIP, "kirim")).is_asked("tip.send")
    assert talk.result is not None and talk.result.outcome == "refused"
    walk(Talk(machine), (*TIP, "kirim")).hears("tip.receipt")


def test_in_a_flood_of_tips_a_small_sum_is_asked(machine: Machine, talk: Talk) -> None:
    """A person does it at once, in figures or words; a wrong one is asked again, nobody is locked out."""
    walk(talk, TIP[:8])
    machine.quotas._recent.extend([machine.quotas._now()] * SURGE_TIPS)
    talk.says("lewati").is_asked("tip.patience")
    talk.says("99").hears("tip.patience_wrong").is_asked("tip.patience")
    for figure in range(4, 13):
        if talk.waiting == "tip.patience":
            talk.says(str(figure))
    talk.is_asked("tip.send").says("kirim").hears("tip.receipt")


def test_a_tip_about_a_receiving_office(machine: Machine, talk: Talk) -> None:
    """It is asked whether it concerns that office itself, and the summary says where it goes then."""
    walk(talk, (*TIP[:6], "Ketua Bawaslu kabupaten")).is_asked("tip.above")
    talk.says("ya").is_asked("tip.photos")
    walk(talk, ("selesai", "lewati")).hears("tip.goes_above").is_asked("tip.send")
    at(machine, "tip.above").says("tidak").is_asked("tip.photos")


def test_a_story_told_to_the_self_check_is_carried_over(talk: Talk) -> None:
    """Who describes a deed and wants to report it does not write it twice."""
    words = "kepala dinas bagi-bagi uang kepada warga di balai desa"
    talk.says(words).is_asked("self_check.report").says("ya").hears("self_check.report_carried").is_asked("tip.indicator")
    walk(talk, TIP[1:5]).is_asked("tip.who")
    walk(talk, ("lewati", "selesai", "lewati")).is_asked("tip.send")
    assert words in talk.text


def test_a_code_in_the_story_is_taken_out(machine: Machine, talk: Talk) -> None:
    """The person is told; neither the conversation nor the case holds it."""
    code = sent_code(walk(Talk(machine), (*TIP, "kirim")))
    walk(talk, TIP[:5]).says(f"{STORY} Kode saya {code} dan juga {code.replace(' ', '')}.").hears("turn.code_in_text").is_asked("tip.who")
    stored = json.dumps(talk.state, ensure_ascii=False)
    assert "[kode]" in stored and code not in stored and code.replace(" ", "") not in stored
    talk.says(code).hears("turn.code_in_text").is_asked("tip.who")
    talk.sends_photos(1, text=f"kode {code}").hears("turn.code_in_text", "turn.photos_kept")
    assert code not in json.dumps(talk.state, ensure_ascii=False)
