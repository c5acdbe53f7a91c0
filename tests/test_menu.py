"""The way in, and what works at every question of every flow: help, menu, back, cancel, odd words, and a layout for each platform."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import handlers
from bot.channels.limits import LIMITS, lay_out, length
from bot.messages import Outbound
from bot.turn import Result
from faq.match import Faq
from storage.cases import Cases
from storage.models import Case
from tests.conftest import Clock
from tests.known_faq import KnownFaq
from tests.nasty import NASTY
from tests.stations import PATHS, STORY, TIP, at, send_tip, walk
from tests.talk import Machine, Talk, copied

FILES = ("menu", "tip", "self_check", "follow_up", "privacy")
ELSEWHERE = {"patience", "originals"}
"""Asked in a flood of tips and where there are offline keys: `test_tip` goes there."""
ASKED = re.compile(r'(?:ask|confirm|collect|_paged|_pick_one)\(\s*(?:chat, (?:faq, found, )?)?f?"([a-z_.]+)')
GIVEN = {"saved_code.handle", "quiet.token"}
"""Questions that are always answered beforehand."""


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


@pytest.fixture(scope="module")
def stations(tmp_path_factory: pytest.TempPathFactory, migrated: Path, faq: Faq) -> Iterator[dict[str, Talk]]:
    """A conversation at each question; tests look what would happen and change nothing."""
    folder = tmp_path_factory.mktemp("stations")
    machine = copied(migrated, folder, Clock(), faq)
    code = send_tip(machine)
    yield {name: at(machine, name, "whatsapp", code) for name in PATHS}
    machine.close()


STATIONS = pytest.mark.parametrize("name", PATHS)


def fits(message: Outbound) -> None:
    """Telegram and WhatsApp can show this message as it is."""
    for platform in ("telegram", "whatsapp"):
        limits = LIMITS[platform]
        laid = lay_out(message, limits)
        assert all(length("".join(span.text for span in text), limits.unit) <= limits.text for text in laid.texts)
        assert all("".join(span.text for span in text).strip() for text in laid.texts)
        if platform == "whatsapp" and message.buttons:
            assert laid.shown_as in ("buttons", "list"), [button.label for button in message.buttons]
            assert length("".join(span.text for span in laid.texts[-1]), limits.unit) <= limits.interactive_text
        labels = [button.label for button in laid.buttons]
        assert len(set(labels)) == len(labels), labels
        most = limits.list_label if laid.shown_as == "list" else limits.button_label
        assert all(0 < len(label) <= most for label in labels)


def pressed(talk: Talk, label: str) -> Result:
    """What the button with this label would do."""
    return talk.would(button=next(button.token for button in talk.buttons if button.label == label))


def summary(result: Result) -> tuple[str, str, list[str]]:
    """Where a turn led, and what is known there."""
    assert result.state is not None
    return result.flow, result.waiting, list(result.state["answers"])


def test_every_question_of_these_flows_is_visited() -> None:
    """A new question in their source needs a way to it in `stations`, so that everything below holds for it as well."""
    visited = {name.split(".")[1] for name in (*PATHS, *GIVEN)}
    source = "\n".join((Path(handlers.__file__).parent / f"{name}.py").read_text("utf-8") for name in FILES)
    asked = {name.split(".")[0] for name in ASKED.findall(source)}
    assert len(asked) > 20
    assert asked - visited == ELSEWHERE


@STATIONS
def test_the_question_fits_every_platform(stations: dict[str, Talk], name: str) -> None:
    """Texts and labels are within the limits, choices are buttons or a list on WhatsApp, no two look the same."""
    for message in stations[name].heard:
        fits(message)


@STATIONS
def test_help_and_menu_work_everywhere(stations: dict[str, Talk], name: str) -> None:
    """Help explains and asks again; the menu is one word away."""
    talk = stations[name]
    for word in ("bantuan", "Help", "/bantuan"):
        result = talk.would(word)
        assert summary(result) == (*name.split(".", 1), list(talk.state["answers"]))
        assert len(result.out) == 1
        fits(result.out[0])
    for word in ("menu", "/menu", "/start", "MENU."):
        assert talk.would(word).waiting == "wish"


@STATIONS
def test_cancel_works_everywhere(stations: dict[str, Talk], name: str) -> None:
    """By word, button and number, and nothing of the draft is left."""
    talk = stations[name]
    results = [talk.would("batal"), talk.would("/batal"), talk.would("Cancel")]
    if name != "menu.wish":
        results += [pressed(talk, "Batal"), talk.would(str(talk.labels.index("Batal") + 1))]
    for result in results:
        assert summary(result) == ("menu", "wish", [])
        assert result.state is not None and result.state["parked"] is None


@STATIONS
def test_back_works_everywhere(stations: dict[str, Talk], name: str) -> None:
    """By word, button and number alike: the last answer is dropped, or it is said that this is the first question."""
    talk = stations[name]
    by_word = talk.would("kembali")
    typed = [known for known, answer in talk.state["answers"].items() if not answer.get("given")]
    if not typed:
        assert "Kembali" not in talk.labels
        assert by_word.waiting == name.split(".", 1)[1]
        return
    assert typed[-1] not in summary(by_word)[2]
    assert by_word.waiting != name.split(".", 1)[1] or name == "self_check.condition.0.0"
    assert summary(pressed(talk, "Kembali")) == summary(by_word)
    assert summary(talk.would(str(talk.labels.index("Kembali") + 1))) == summary(by_word)


@STATIONS
def test_each_choice_by_button_number_and_word_is_the_same(stations: dict[str, Talk], name: str) -> None:
    """Whatever way a person answers; and what comes then fits every platform."""
    talk = stations[name]
    for number, button in enumerate(talk.buttons, start=1):
        words = (str(number), button.label, f" {button.label.upper()}. ") if talk.labels.count(button.label) == 1 else (str(number),)
        typed = [talk.would(line) for line in words]
        results = [talk.would(button=button.token), *typed]
        texts = [re.sub(r"\d{4}", "", " ".join(message.text for message in result.out)) for result in results]
        assert len({summary(result)[:2] for result in results}) == 1, (button.label, [summary(result) for result in results])
        assert len(set(texts)) == 1 or name == "tip.send", button.label
        for message in results[0].out:
            fits(message)


@STATIONS
def test_stale_and_foreign_buttons_change_nothing(stations: dict[str, Talk], name: str) -> None:
    """Explained, and the same question waits with the same answers."""
    talk = stations[name]
    tag, step = talk.state["tag"], talk.state["step"]
    places = (f"{tag}.{step - 1}.0", f"{tag}.{step + 1}.0", f"ffffff.{step}.0", f"{tag}.{step}.99", f"{tag}.{step}.²")
    for token in (*places, "x", "\x00.1.1"):
        result = talk.would(button=token)
        assert result.outcome == "stale"
        assert summary(result) == (*name.split(".", 1), list(talk.state["answers"]))


@STATIONS
def test_odd_words_never_break_a_turn(stations: dict[str, Talk], name: str) -> None:
    """Emoji, right-to-left, control signs, five thousand characters, markup, code: an answer with a question always comes, and it fits."""
    talk = stations[name]
    for words in NASTY:
        result = talk.would(words)
        assert result.out and result.waiting
        for message in result.out:
            fits(message)


@STATIONS
def test_every_question_speaks_english(stations: dict[str, Talk], name: str) -> None:
    """The same question with the same number of choices, in English."""
    talk = stations[name]
    machine = talk.machine
    with machine.store.engine.connect() as connection:
        state = copy.deepcopy(machine.conversations.load(connection, talk.address).state)
        state["language"] = "en"
        inbound = replace(talk.last, text="help", button="", attachments=(), receipt="")
        result = machine.conductor().take(connection, inbound, state, machine.clock())
    assert summary(result)[:2] == tuple(name.split(".", 1))
    assert len(result.out[-1].buttons) == len(talk.buttons)
    for message in result.out:
        fits(message)
        assert not re.search(r"\b(Anda|yang|laporan|tidak)\b", without_places(message.text)), message.text


def without_places(words: str) -> str:
    """The words without what the person wrote themselves, and without the law's own Indonesian names."""
    return words.replace(STORY, "")


# --- the first message ------------------------------------------------------------------------------------------------------------------


FIRST = ("halo", "/start", "lapor", "/lapor", "bole ga sy like postingan cabup?", "🙂", "/foo", "batal", "kembali", "12345")


@pytest.mark.parametrize("first", FIRST)
def test_the_promises_come_before_any_question(talk: Talk, first: str) -> None:
    """Whatever the first words are: what can and cannot be promised is said in the first message."""
    talk.says(first)
    assert talk.heard[0].text.index("Netra") < talk.heard[0].text.index("kami tidak menyimpan nomor")
    assert "Yang tidak bisa kami janjikan" in talk.heard[0].text
    talk.says("menu")
    assert "Saya bukan manusia" not in talk.text, "once is enough"


@pytest.mark.parametrize("words", ["halo", "Hai", "P", "Assalamualaikum", "selamat pagi", "min"])
def test_a_greeting_is_no_question(talk: Talk, words: str) -> None:
    """It is greeted back, also later."""
    talk.says(words).is_asked("menu.wish")
    talk.says(words).is_asked("menu.wish")


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("lapor", "tip.indicator"),
        ("Cek laporan", "follow_up.code"),
        ("bahasa", "language.which"),
        ("hapus", "erase.sure"),
        ("tanya", "self_check.question"),
        ("2", "tip.indicator"),
        ("/start lapor", "tip.indicator"),
        ("/start@NetraBot cek", "follow_up.code"),
        ("/start tanya-sosmed__like-postingan", "self_check.next.0.0"),
        ("/start tanya-no__such", "self_check.question"),
        ("/start nothing", "menu.wish"),
        ("/tanya bole ga sy like postingan cabup?", "self_check.next.0.0"),
        ("bole ga sy like postingan cabup?", "self_check.next.0.0"),
    ],
)
def test_where_the_first_words_lead(talk: Talk, words: str, question: str) -> None:
    """Words, numbers, commands and links."""
    talk.says("halo").says(words).is_asked(question)
    fresh = Talk(talk.machine)
    if words != "2":
        fresh.says(words).is_asked(question)


def test_the_starting_words_work_after_an_answer(talk: Talk) -> None:
    """Who has read an answer may go on to a report or look at one without the menu."""
    for words, question in (("lapor", "tip.indicator"), ("cek laporan", "follow_up.code"), ("bahasa", "language.which")):
        talk.says("bole ga sy like postingan cabup?").is_asked("self_check.next.0.0")
        talk.says(words).is_asked(question).says("batal")


def test_a_photo_is_the_start_of_a_tip(talk: Talk) -> None:
    """With its caption; sent as the very first message, after an answer, or in the middle of a self-check."""
    talk.sends_photos(2, text="Camat di panggung paslon").is_asked("tip.indicator")
    walk(talk, TIP[1:7]).is_asked("tip.photos.2")
    talk.says("selesai").says("lewati").is_asked("tip.send")
    assert "Camat di panggung paslon" in talk.text
    assert "Foto: 2" in talk.text
    for start in ("/tanya", "bole ga sy like postingan cabup?"):
        Talk(talk.machine).says(start).sends_photos(1).is_asked("tip.indicator")


@pytest.mark.parametrize("caption", ["lapor", "tolong", "menu", "batal", "/lapor", "halo", "hapus"])
def test_a_caption_is_no_command(talk: Talk, caption: str) -> None:
    """A photo is never lost because of the word under it; the word stays with it."""
    talk.sends_photos(1, text=caption).is_asked("tip.indicator")
    talk.sends_photos(1, text=caption).hears("turn.photos_kept").is_asked("tip.indicator")
    walk(talk, TIP[1:7]).is_asked("tip.photos.2")
    talk.says("selesai").says("lewati").is_asked("tip.send")
    assert f"{caption} {caption}" in talk.text


def test_a_photo_for_a_parked_tip_is_added_to_it(talk: Talk) -> None:
    """Nothing of the parked draft is lost."""
    walk(talk, TIP[:5]).says("menu").sends_photos(1).hears("turn.resumed", "turn.photos_kept").is_asked("tip.what")
    assert talk.state["parked"] is None


def test_a_mistyped_code_in_the_menu_is_recognised(talk: Talk) -> None:
    """It is not taken for a question to the FAQ."""
    talk.says("halo").says("1234 5678 9012 3456 7892").hears("errors.code_wrong_digit").is_asked("follow_up.code")
    talk.says("menu").says("1234 5678 9012 3456 78").hears("errors.code_incomplete").is_asked("follow_up.code")


# --- small flows -------------------------------------------------------------------------------------------------------------------------


def test_privacy_says_what_is_and_what_is_not_promised(talk: Talk) -> None:
    """All of it, and then the menu."""
    talk.says("/privasi").hears("privacy.promise", "privacy.limits", "privacy.traces").is_asked("menu.wish")


def test_erase_asks_first(machine: Machine, talk: Talk) -> None:
    """Yes asks the channel to forget the chat and drops a parked draft; no leaves everything."""
    walk(talk, TIP[:3]).says("/hapus").is_asked("erase.sure")
    talk.says("tidak jadi").is_asked("menu.wish")
    assert talk.state["parked"] is not None
    assert not any(message.forget for message in talk.heard)
    talk.says("hapus").says("ya").hears("erase.done").is_asked("menu.wish")
    assert talk.state["parked"] is None
    assert [message.forget for message in talk.heard].count(True) == 1


def test_nothing_in_the_database_says_who_erased(machine: Machine, talk: Talk) -> None:
    """A report that was sent stays and stays readable."""
    code = send_tip(machine)
    talk.says("hapus").says("ya")
    with machine.store.engine.connect() as connection:
        assert len(connection.execute(Case.__table__.select()).all()) == 1
    assert isinstance(machine.cases, Cases)
    talk.says(code).is_asked("follow_up.next")
