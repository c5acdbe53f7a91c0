"""Coming back with the code: in any chat, on any channel, typed in any way."""

from __future__ import annotations

import json

import pytest

from bot.receipts import LOCKED_SECONDS, SESSION_SECONDS, WRONG_CODES
from faq.match import Faq
from storage.cases import OpenCase
from storage.models import Case, DraftEvidence, Evidence
from storage.vault import damm, new_code
from tests.conftest import Clock
from tests.known_faq import KnownFaq
from tests.stations import TIP, send_tip, walk
from tests.talk import Machine, Talk


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


@pytest.fixture
def seconds(machine: Machine) -> Seconds:
    """The clock of the code sessions."""
    machine.sessions._now = seconds = Seconds()
    return seconds


@pytest.fixture
def code(machine: Machine) -> str:
    """The code of a tip that was sent."""
    return send_tip(machine)


def opened(machine: Machine, code: str) -> OpenCase | None:
    """The case behind a code, or None when it is gone."""
    receipt = machine.receipts.derive(machine.receipts.hashed(code.replace(" ", "")))
    with machine.store.engine.connect() as connection:
        return machine.cases.by_receipt(connection, receipt)


def team_writes(machine: Machine, code: str, words: str) -> None:
    """A receiver answers."""
    case = opened(machine, code)
    assert case is not None
    machine.store.write_now(lambda connection: machine.cases.tell_tipster(connection, case, "penelaah", words))


def heard_by_team(machine: Machine, code: str) -> list[str]:
    """What the tipster added."""
    case = opened(machine, code)
    assert case is not None
    return [entry.words for entry in case.entries if entry.kind == "tipster"]


def typed(code: str) -> list[str]:
    """The ways in which people type a code."""
    bare = code.replace(" ", "")
    wide = bare.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    arabic = bare.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)})
    return [
        code,
        bare,
        code.replace(" ", "-"),
        code.replace(" ", "."),
        code.replace(" ", "\n"),
        wide,
        arabic,
        f"  {code}  ",
        " ".join(bare),
        f"kode: {code}.",
    ]


@pytest.mark.parametrize("way", range(10))
def test_a_code_is_recognised_however_it_is_typed(machine: Machine, talk: Talk, code: str, way: int) -> None:
    """After the question, and as the very first words."""
    talk.says("/cek").says(typed(code)[way]).hears("follow_up.status").is_asked("follow_up.next")
    Talk(machine).says(typed(code)[way]).hears("menu.greeting", "follow_up.status").is_asked("follow_up.next")


def test_the_code_is_never_stored(machine: Machine, talk: Talk, code: str) -> None:
    """Not in the conversation, and in no byte of the data folder, however it is typed."""
    for words in typed(code):
        talk.says(words)
        state = json.dumps(talk.state)
        assert code not in state and code.replace(" ", "") not in state
    machine.store.write_now(lambda connection: None)
    for path in machine.folder.rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            assert all(words.strip().encode() not in body for words in typed(code))


def test_a_wrong_digit_is_noticed_without_a_derivation(machine: Machine, talk: Talk, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check digit tells it at once; no slow work, no wrong try."""
    monkeypatch.setattr(machine.receipts, "derive", lambda hashed: pytest.fail("derived"))
    bare = code.replace(" ", "")
    wrong = bare[:-1] + str((int(bare[-1]) + 1) % 10)
    talk.says("/cek").says(wrong).hears("errors.code_wrong_digit").is_asked("follow_up.code")
    talk.says(bare[:19]).hears("errors.code_incomplete", "follow_up.help.code").is_asked("follow_up.code")
    assert "19" in talk.text


def test_an_unknown_code_is_said_to_be_unknown(machine: Machine, talk: Talk, code: str) -> None:
    """The question stays; the right code works afterwards."""
    talk.says("/cek").says(new_code()).hears("follow_up.unknown").is_asked("follow_up.code")
    talk.says(code).is_asked("follow_up.next")


def test_wrong_codes_lock_this_chat_alone(machine: Machine, talk: Talk, code: str, seconds: Seconds) -> None:
    """After five, this chat waits a quarter of an hour, with the right code too; everybody else goes on."""
    talk.says("/cek")
    for _ in range(WRONG_CODES):
        talk.says(new_code()).hears("follow_up.unknown")
    talk.says(code).hears("follow_up.locked").is_asked("follow_up.code")
    Talk(machine).says(code).is_asked("follow_up.next")
    seconds.now += LOCKED_SECONDS + 1
    talk.says(code).is_asked("follow_up.next")


def test_a_code_is_remembered_for_a_quarter_of_an_hour(machine: Machine, talk: Talk, code: str, seconds: Seconds) -> None:
    """It runs on while the person writes; after that, and after a restart, the code is asked again with the reason."""
    talk.says(code).is_asked("follow_up.next")
    for _ in range(3):
        seconds.now += SESSION_SECONDS - 1
        talk.says("bantuan").is_asked("follow_up.next")
    seconds.now += SESSION_SECONDS + 1
    talk.says("tulis pesan").hears("follow_up.session_over").is_asked("follow_up.code")
    talk.says(code).is_asked("follow_up.words")
    machine.restart()
    talk.says("ada saksi lagi").hears("follow_up.session_over").is_asked("follow_up.code")
    talk.says(code).hears("follow_up.added")
    assert heard_by_team(machine, code) == ["ada saksi lagi"]


def test_the_team_is_read_and_answered(machine: Machine, talk: Talk, code: str) -> None:
    """Messages stand below the state; an answer reaches the team, and the conversation keeps nothing of it."""
    talk.says(code).hears("follow_up.status", "follow_up.state.new")
    team_writes(machine, code, "Di balai desa mana? *tebal* {x} _y_")
    talk.says("menu").says(code).hears("follow_up.state.asked", "follow_up.status_with_messages")
    assert "Di balai desa mana? *tebal* {x} _y_" in talk.text, "words of people are shown as they are"
    talk.taps("Tulis pesan").is_asked("follow_up.words").says("Balai desa Sukamaju").hears("follow_up.added").is_asked("menu.wish")
    assert heard_by_team(machine, code) == ["Balai desa Sukamaju"]
    assert "Sukamaju" not in json.dumps(talk.state)


def test_numbers_are_an_answer_to_the_team(machine: Machine, talk: Talk, code: str) -> None:
    """ "How many?" - "2": where no numbers are shown before the controls, it is not "cancel"."""
    talk.says(code).taps("Tulis pesan").says("2").hears("follow_up.added")
    assert heard_by_team(machine, code) == ["2"]


def test_photos_with_captions_are_added(machine: Machine, talk: Talk, code: str) -> None:
    """By the choice, or simply by sending them; captions reach the team as well."""
    talk.says(code).taps("Tambah foto").sends_photos(2, text="dari samping").says("selesai").hears("follow_up.added")
    talk.says(code).sends_photos(1, text="dari depan").is_asked("follow_up.more_photos.1").says("selesai").hears("follow_up.added")
    case = opened(machine, code)
    assert case is not None and case.head["photos"] == 3
    assert heard_by_team(machine, code) == ["dari samping", "dari depan"]
    with machine.store.engine.connect() as connection:
        assert len(connection.execute(Evidence.__table__.select()).all()) == 3
        assert connection.execute(DraftEvidence.__table__.select()).all() == []


def test_a_photo_that_comes_with_the_words_is_not_lost(machine: Machine, talk: Talk, code: str) -> None:
    """While words are asked for, a photo is kept and goes with them."""
    talk.says(code).taps("Tulis pesan").sends_photos(1).hears("turn.photos_kept").is_asked("follow_up.words")
    talk.says("ini buktinya").hears("follow_up.added")
    case = opened(machine, code)
    assert case is not None and case.head["photos"] == 1
    talk.says(code).taps("Tulis pesan").sends_photos(1, text="satu lagi").hears("follow_up.added")
    assert heard_by_team(machine, code)[-1] == "satu lagi"


@pytest.mark.parametrize("wish", ["Tulis pesan", "Merasa terancam"])
def test_who_names_themselves_later_is_warned(machine: Machine, talk: Talk, code: str, wish: str) -> None:
    """A NIP or a number in what is added is pointed out before it is sent; taken out, or sent as it is."""
    for answer, kept in (("Hapus lalu kirim", False), ("Kirim apa adanya", True)):
        talk.says(code).taps(wish).says("NIP saya 197504231998031002, hubungi 0812-3456-7890")
        talk.is_asked("follow_up.identity")
        assert "NIP" in talk.text and "nomor telepon" in talk.text
        before = len(heard_by_team(machine, code))
        talk.taps(answer).hears("follow_up.danger_kept" if wish == "Merasa terancam" else "follow_up.added")
        words = heard_by_team(machine, code)
        assert len(words) == before + 1 and ("197504231998031002" in words[-1], "0812-3456-7890" in words[-1]) == (kept, kept)


def test_a_caption_is_read_for_names_too(machine: Machine, talk: Talk, code: str) -> None:
    """What is written under a photo is looked at like all other words."""
    talk.says(code).taps("Tambah foto").sends_photos(1, text="nama saya Budi Santoso").says("selesai").is_asked("follow_up.identity")
    talk.taps("Hapus lalu kirim").hears("follow_up.added")
    assert "Budi" not in heard_by_team(machine, code)[-1]
    case = opened(machine, code)
    assert case is not None and case.head["photos"] == 1


def test_no_photo_after_all(machine: Machine, talk: Talk, code: str) -> None:
    """Nothing is sent to the team."""
    talk.says(code).taps("Tambah foto").says("selesai").is_asked("menu.wish")
    assert heard_by_team(machine, code) == []


@pytest.mark.parametrize("words", ["lewati", "ada yang mengikuti saya"])
def test_danger(machine: Machine, talk: Talk, code: str, words: str) -> None:
    """The case is marked, with or without words."""
    talk.says(code).taps("Merasa terancam").hears("follow_up.danger_words").says(words).hears("follow_up.danger_kept")
    case = opened(machine, code)
    assert case is not None and case.head["danger"] is True


@pytest.mark.parametrize("yes", ["ya", "Ya, hapus", "hapus", "1"])
def test_withdraw(machine: Machine, talk: Talk, code: str, yes: str) -> None:
    """After a second question everything of the case is gone, and its code unknown; that it was its sender is on record."""
    before = opened(machine, code)
    talk.says(code).taps("Tarik laporan").hears("follow_up.withdraw_sure").says(yes).hears("follow_up.withdrawn").is_asked("menu.wish")
    assert opened(machine, code) is None
    with machine.store.engine.connect() as connection:
        assert connection.execute(Case.__table__.select()).all() == []
        (act,) = machine.desk.audit.acts(connection, action="tip_withdrawn")
    assert before is not None and (act.actor, act.subject) == ("system", before.id.hex())
    talk.says(code).hears("follow_up.unknown")


@pytest.mark.parametrize("no", ["tidak", "tidak jadi", "batal", "kembali", "2", "menu"])
def test_withdraw_not(machine: Machine, talk: Talk, code: str, no: str) -> None:
    """Anything but a yes leaves the case, and nothing sounds as if it were deleted."""
    talk.says(code).taps("Tarik laporan").says(no)
    assert opened(machine, code) is not None
    assert "sudah dihapus" not in talk.text


def test_a_yes_to_withdraw_belongs_to_its_case(machine: Machine, talk: Talk, code: str, seconds: Seconds) -> None:
    """Who types another code in between is asked again."""
    other = send_tip(machine)
    talk.says(code).taps("Tarik laporan").is_asked("follow_up.withdraw_sure")
    seconds.now += SESSION_SECONDS + 1
    talk.says("ya").hears("follow_up.session_over").is_asked("follow_up.code")
    talk.says(other).is_asked("follow_up.withdraw_sure")
    assert opened(machine, code) is not None and opened(machine, other) is not None


def test_a_case_that_goes_while_it_is_looked_at(machine: Machine, talk: Talk, code: str) -> None:
    """Withdrawn from another chat: the next answer says that the code is unknown, and nothing breaks."""
    talk.says(code).taps("Tulis pesan").is_asked("follow_up.words")
    Talk(machine).says(code).taps("Tarik laporan").says("ya")
    talk.says("ada lagi").hears("follow_up.unknown").is_asked("follow_up.code")


def test_a_closed_case_is_read_but_not_continued(machine: Machine, talk: Talk, code: str) -> None:
    """Its words are there; words and photos are not offered, the alarm is."""
    case = opened(machine, code)
    assert case is not None
    machine.store.write_now(lambda connection: machine.cases.close(connection, case, "penelaah"))
    talk.says(code).hears("follow_up.state.closed").is_asked("follow_up.next")
    assert "Tulis pesan" not in talk.labels and "Merasa terancam" in talk.labels


def test_done_ends_the_session(machine: Machine, talk: Talk, code: str) -> None:
    """The handle in memory goes with it."""
    talk.says(code).taps("Selesai").hears("follow_up.goodbye").is_asked("menu.wish")
    assert machine.sessions._sessions == {}


def test_another_code_in_between_opens_the_other_case(machine: Machine, talk: Talk, code: str) -> None:
    """At a choice a code is the wish to look at its report."""
    other = send_tip(machine)
    talk.says(code)
    first = talk.text
    talk.says(other).is_asked("follow_up.next")
    assert talk.text != first


def test_a_question_in_between(machine: Machine, talk: Talk, code: str) -> None:
    """The FAQ answers, and the case is still open."""
    talk.says(code).says("boleh ga sy like postingan cabup?").hears("turn.back_to_question").is_asked("follow_up.next")


def test_a_code_on_another_channel_and_day(machine: Machine, clock: Clock, code: str) -> None:
    """The report belongs to who holds the code."""
    clock.forward(days=3)
    Talk(machine, channel="telegram").says(code).is_asked("follow_up.next")
    Talk(machine, channel="whatsapp").says("/start cek").says(code).is_asked("follow_up.next")


def test_a_tip_that_is_parked_while_a_code_is_looked_at(machine: Machine, talk: Talk, code: str) -> None:
    """Both are there afterwards."""
    walk(talk, TIP[:3]).says("/cek").says(code).taps("Selesai").is_asked("menu.wish")
    talk.taps("Lanjutkan laporan").is_asked("tip.where")


def test_codes_that_are_shown_pass_their_own_check() -> None:
    """Twenty digits, the last of them the check digit."""
    for _ in range(50):
        made = new_code()
        assert len(made) == 20 and damm(made) == "0"
