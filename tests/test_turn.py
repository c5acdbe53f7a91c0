"""A turn, through storage: deploys in mid-conversation, controls, stale buttons, restarts, and what is typed that nobody expects."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.chat import Chat, Go
from bot.messages import Inbound, Option
from bot.questions import choice as choose
from bot.questions import collect, photos, text, yes_no
from bot.turn import CHOICES, Turn
from bot.turn import Talk as Flow
from faq.match import Faq
from storage.models import Conversation
from tests.conftest import Clock
from tests.known_faq import KnownFaq
from tests.talk import NUMBERS, Machine, Talk

Toy = Callable[[Chat], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


def toy(*names: str, sent: list[dict[str, str]] | None = None) -> Toy:
    """A flow of free-text questions and a final confirm."""

    async def flow(chat: Chat) -> dict[str, str] | None:
        told = {name: await chat.ask(name, text()) for name in names}
        return told if await chat.confirm("send", yes_no(), told=told) == "yes" else None

    return flow


@pytest.fixture
def kept(machine: Machine) -> list[dict[str, str]]:
    """What the toy flow ended with."""
    found: list[dict[str, str]] = []

    def keep(told: dict[str, str], turn: Turn) -> None:
        found.append(told)
        turn.say("toy.thanks")

    machine.speaks(toy__what="What?", toy__where="Where?", toy__when="When?", toy__send="Send {told}?", toy__thanks="Thanks.")
    machine.extra["toy"] = Flow(toy("what", "where"), keep, words=("toy",), parks=True)
    return found


# --- the four deploys ---------------------------------------------------------------------------------------------------------------


def test_a_question_inserted_before_the_current_one_is_asked(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """The answer that was on its way is kept, the new question is asked, and the conversation goes on."""
    talk.says("toy").says("the weir").is_asked("toy.where")
    machine.deploys(toy=toy("what", "when", "where"))
    talk.says("the river").is_asked("toy.when")
    talk.says("monday").is_asked("toy.send")
    talk.says("ya")
    assert kept == [{"what": "the weir", "when": "monday", "where": "the river"}]


def test_the_current_question_removed_and_another_inserted(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Nothing is taken for an answer to another question."""
    talk.says("toy").says("the weir").is_asked("toy.where")
    machine.deploys(toy=toy("what", "when"))
    talk.says("the river").is_asked("toy.when")
    talk.says("monday").says("ya")
    assert kept == [{"what": "the weir", "when": "monday"}]


def test_an_insertion_rolled_back_while_the_person_is_at_it(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """The answer to the question that is gone again is left aside."""
    talk.says("toy").says("the weir").says("the river")
    machine.deploys(toy=toy("what", "where", "when"))
    talk.says("bantuan").is_asked("toy.when")
    machine.deploys(toy=toy("what", "where"))
    talk.says("monday").is_asked("toy.send")
    talk.says("ya")
    assert kept == [{"what": "the weir", "where": "the river"}]


def test_a_question_inserted_at_the_final_confirm(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """The yes was for another summary: the new question is asked, then the confirm again."""
    talk.says("toy").says("the weir").says("the river").is_asked("toy.send")
    machine.deploys(toy=toy("what", "where", "when"))
    talk.says("ya").is_asked("toy.when")
    assert kept == []
    talk.says("monday").is_asked("toy.send")
    assert "monday" in talk.text
    talk.says("ya")
    assert kept == [{"what": "the weir", "where": "the river", "when": "monday"}]


def test_questions_in_another_order_lose_nothing(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Answers are found by name; a summary that says the same holds."""
    talk.says("toy").says("the weir").says("the river")
    machine.deploys(toy=toy("where", "what"))
    talk.says("ya")
    assert kept == [{"where": "the river", "what": "the weir"}]


def test_a_choice_that_a_deploy_took_away_is_asked_again(machine: Machine, talk: Talk) -> None:
    """Without a reproach, and with the choices of today."""

    def flow(*options: str) -> Toy:
        async def asks(chat: Chat) -> None:
            await chat.ask("which", choose(*(Option(option, option) for option in options)))
            await chat.ask("what", text())

        return asks

    machine.speaks(toy__which="Which?", toy__what="What?")
    machine.deploys(toy=flow("left", "middle"))
    talk.says("toy").says("middle").is_asked("toy.what")
    machine.deploys(toy=flow("left", "right"))
    talk.says("a story").is_asked("toy.which")
    assert "Pilih salah satu" not in talk.text
    talk.taps("right")
    assert talk.waiting == "menu.wish", "the story was kept"


def test_a_flow_that_a_deploy_removed_leads_home(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """With one sentence; a draft of it that was parked goes with it."""
    other = Talk(machine)
    talk.says("toy").says("the weir")
    other.says("toy").says("the weir").says("menu")
    del machine.extra["toy"]
    talk.says("halo").hears("turn.gone").is_asked("menu.wish")
    other.says("halo").hears("turn.expired").is_asked("menu.wish")
    assert "Lanjutkan laporan" not in other.labels


# --- controls -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["word", "command", "button", "number"])
def test_back_cancel_and_help(machine: Machine, kept: list[dict[str, str]], how: str) -> None:
    """Back drops the last answer, cancel drops all, help explains and asks again: in whatever way it is said."""

    def does(talk: Talk, word: str, label: str) -> Talk:
        if how == "button":
            return talk.taps(label)
        if how == "number":
            return talk.says(str(talk.labels.index(label) + 1))
        return talk.says(word.upper() if how == "word" else f"/{word}")

    talk = Talk(machine, channel="whatsapp")
    talk.says("toy").says("the weir").says("the river").is_asked("toy.send")
    does(talk, "kembali", "Kembali").is_asked("toy.where")
    does(talk, "kembali", "Kembali").is_asked("toy.what")
    talk.says("kembali").hears("turn.at_start").is_asked("toy.what")
    talk.says("bantuan").hears("turn.help").is_asked("toy.what")
    talk.says("the dam")
    does(talk, "batal", "Batal").hears("turn.cancelled").is_asked("menu.wish")
    assert talk.state["answers"] == {}
    assert kept == []


def test_a_typed_number_means_what_was_shown(machine: Machine, kept: list[dict[str, str]]) -> None:
    """Where no number is shown before the controls of a free question, "2" is an answer; where it is shown, it is the second choice."""
    web, whatsapp = Talk(machine), Talk(machine, channel="whatsapp")
    web.says("toy").says("the weir").says("2").is_asked("toy.send")
    whatsapp.says("toy").says("the weir").says("2").hears("turn.cancelled")


def test_a_parked_flow_survives_the_menu(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """It is offered in the menu and goes on where it was; starting it by its word does the same."""
    talk.says("toy").says("the weir").is_asked("toy.where")
    talk.says("menu").hears("turn.parked").is_asked("menu.wish")
    talk.taps("Lanjutkan laporan").hears("turn.resumed").is_asked("toy.where")
    talk.says("/menu").says("toy").is_asked("toy.where")
    talk.says("the river").says("ya")
    assert kept == [{"what": "the weir", "where": "the river"}]
    assert "Lanjutkan laporan" not in talk.labels


def test_starting_a_flow_again_in_its_middle_loses_nothing(talk: Talk, kept: list[dict[str, str]]) -> None:
    """Who types the command once more is asked where they were."""
    talk.says("toy").says("the weir").says("/start").is_asked("menu.wish")
    talk.says("toy").is_asked("toy.where")
    assert talk.state["answers"]["what"]["text"] == "the weir"


def test_cancel_in_the_menu_drops_what_was_parked(talk: Talk, kept: list[dict[str, str]]) -> None:
    """And says so."""
    talk.says("toy").says("the weir").says("menu").says("batal").hears("turn.draft_dropped").is_asked("menu.wish")
    assert talk.state["parked"] is None
    assert "Lanjutkan laporan" not in talk.labels
    talk.says("batal").hears("turn.nothing_to_cancel")


def test_a_text_that_only_tells_something_does_not_park(talk: Talk, kept: list[dict[str, str]]) -> None:
    """After the privacy text the conversation goes on by itself."""
    talk.says("toy").says("the weir").says("/privasi").hears("privacy.promise", "turn.resumed").is_asked("toy.where")


# --- stale buttons ------------------------------------------------------------------------------------------------------------------


def test_an_old_button_is_explained_and_not_obeyed(talk: Talk, kept: list[dict[str, str]]) -> None:
    """The pending question is asked again, and nothing has changed."""
    talk.says("toy").says("the weir")
    old = talk.buttons[-1].token
    talk.says("the river")
    before = dict(talk.state["answers"])
    talk.presses(old).hears("turn.stale").is_asked("toy.send")
    assert dict(talk.state["answers"]) == before
    assert kept == []


def test_a_button_pressed_twice_counts_once(talk: Talk, kept: list[dict[str, str]]) -> None:
    """The second press is one of an old button."""
    talk.says("toy").says("the weir").says("the river")
    yes = talk.buttons[0].token
    talk.presses(yes).presses(yes).hears("turn.stale")
    assert len(kept) == 1


def test_a_button_of_another_conversation(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """It says nothing here."""
    other = Talk(machine)
    other.says("toy").says("a").says("b")
    talk.says("toy").says("c").says("d")
    talk.presses(other.buttons[0].token).hears("turn.stale").is_asked("toy.send")
    assert kept == []


def test_a_button_of_a_conversation_that_is_gone(talk: Talk, kept: list[dict[str, str]]) -> None:
    """It is explained, and the greeting with its promises comes before the first question."""
    talk.presses("abcdef.4.0").hears("turn.stale_lost", "menu.greeting").is_asked("menu.wish")


GARBAGE = [
    "",
    ".",
    "..",
    "²",
    "/",
    "//",
    "/x y",
    "/quiet",
    "\x00",
    "🙂.1.0",
    "edit:where",
    "back",
    "9" * 5000,
    "../../etc/passwd",
    "'; DROP TABLE",
]


@pytest.mark.parametrize("token", GARBAGE)
def test_garbage_tokens_do_nothing(talk: Talk, kept: list[dict[str, str]], token: str) -> None:
    """Whatever comes as a button, the question stays and nothing is answered."""
    talk.says("toy").says("the weir").says("the river")
    tag, step, _ = talk.buttons[0].token.split(".")
    for tried in (
        token,
        f"{tag}.{step}.{token}",
        f"{tag}.{token}.0",
        f"{token}.{step}.0",
        f"{tag}.{step}.99",
        f"{tag}.{step}.-1",
        f"{tag}.{step}.²",
    ):
        talk.presses(tried)
        assert kept == []
        assert talk.waiting in ("toy.send", "menu.wish")
        if talk.waiting == "menu.wish":
            talk.says("toy").is_asked("toy.send")
            step = talk.buttons[0].token.split(".")[1]


# --- unknown input ---------------------------------------------------------------------------------------------------------------


def test_unknown_input_is_met_in_three_steps(machine: Machine, talk: Talk) -> None:
    """What is possible now; more help; the way to the menu."""

    async def flow(chat: Chat) -> None:
        await chat.ask("sure", yes_no())

    machine.speaks(toy__sure="Sure?")
    machine.deploys(toy=flow)
    talk.says("toy").says("hm").hears("errors.choose_one").is_asked("toy.sure")
    assert "Kata yang selalu" not in talk.text
    talk.says("hmm").hears("errors.choose_one", "turn.help").is_asked("toy.sure")
    talk.says("hmmm").hears("errors.choose_one", "turn.third_miss").is_asked("toy.sure")
    assert talk.labels == ["Ya", "Tidak", "Batal"]
    talk.says("bantuan").says("hm")
    assert "MENU untuk kembali" not in talk.text, "after something understood the steps begin again"


@pytest.mark.parametrize("command", ["/foo", "/FOO", "/foo@NetraBot"])
def test_an_unknown_command_is_no_answer(talk: Talk, kept: list[dict[str, str]], command: str) -> None:
    """It is explained, in a free question too."""
    talk.says("toy").says(command).hears("turn.unknown_command").is_asked("toy.what")
    assert talk.state["answers"] == {}


def test_a_path_or_a_fraction_is_no_command(talk: Talk, kept: list[dict[str, str]]) -> None:
    """Words that only begin with a slash are words."""
    talk.says("toy").says("/1/2 bagian warga").is_asked("toy.where")


# --- time, restarts, duplicates --------------------------------------------------------------------------------------------------


def test_a_restart_in_mid_conversation_changes_nothing(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Everything that lives in memory is gone, and the next answer goes on."""
    talk.says("toy").says("the weir")
    machine.restart()
    talk.says("the river").is_asked("toy.send")
    machine.restart()
    talk.taps("Ya")
    assert kept == [{"what": "the weir", "where": "the river"}]


def test_an_unfinished_conversation_expires(clock: Clock, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Not before 24 hours; after them with one sentence, and what was typed is not taken for something else."""
    talk.says("toy").says("the weir")
    clock.forward(hours=24)
    talk.says("the river").is_asked("toy.send")
    clock.forward(hours=24, seconds=1)
    talk.says("ya").hears("turn.expired", "menu.greeting").is_asked("menu.wish")
    assert talk.text.count("24 jam") == 1
    assert kept == []
    talk.says("halo")
    assert "24 jam" not in talk.text


def test_a_button_after_expiry(clock: Clock, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Explained as belonging to what is no longer kept."""
    talk.says("toy").says("the weir").says("the river")
    token = talk.buttons[0].token
    clock.forward(hours=25)
    talk.presses(token).hears("turn.expired", "turn.stale_lost").is_asked("menu.wish")
    assert kept == []


def test_nothing_is_said_to_expire_that_was_no_draft(clock: Clock, talk: Talk) -> None:
    """Who asked a question yesterday is greeted and answered today, without talk of drafts."""
    talk.says("bole ga sy like postingan cabup?")
    clock.forward(hours=30)
    talk.says("bole ga sy like postingan cabup?").hears("menu.greeting").is_asked("self_check.next.0.0")
    assert "drafnya sudah kami hapus" not in talk.text


def test_a_parked_draft_expires_although_the_person_talks_on(clock: Clock, talk: Talk, kept: list[dict[str, str]]) -> None:
    """A draft is gone after 24 hours, as promised, even for who writes every few hours."""
    talk.says("toy").says("the weir").says("menu")
    for _ in range(2):
        clock.forward(hours=11)
        talk.says("halo")
        assert "Lanjutkan laporan" in talk.labels
    clock.forward(hours=3)
    talk.says("halo").hears("turn.expired")
    assert "Lanjutkan laporan" not in talk.labels
    assert talk.state["parked"] is None


def test_a_fresh_run_folder_is_said(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """The drafts' keys are gone: who comes back is told what that means, once."""
    talk.says("toy").says("the weir")
    for file in (machine.folder / "run").iterdir():
        file.chmod(0o600)
        file.unlink()
    machine.restart()
    machine.lost = True
    talk.says("the river").hears("turn.lost", "menu.greeting")
    assert kept == []
    talk.says("halo")
    assert "dinyalakan ulang" not in talk.text


def test_a_message_delivered_twice_counts_once(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Also after a restart, and after a day with the same epoch."""
    talk.says("toy").says("the weir")
    assert talk.again() is None
    machine.restart()
    assert talk.again() is None
    assert Talk(machine).says("halo").result is not None
    talk.says("the river").is_asked("toy.send")


def test_a_conversation_moves_to_the_next_epoch(machine: Machine, clock: Clock, talk: Talk, kept: list[dict[str, str]]) -> None:
    """A draft that is worked on around the change of keys is not lost."""
    talk.says("toy")
    clock.forward(hours=23)
    talk.says("the weir")
    clock.forward(hours=2)
    talk.says("the river").is_asked("toy.send")
    with machine.store.engine.connect() as connection:
        assert len(connection.execute(Conversation.__table__.select()).all()) == 1


# --- edits on the platform ---------------------------------------------------------------------------------------------------------


def test_an_edited_message_changes_the_draft(talk: Talk, kept: list[dict[str, str]]) -> None:
    """The answer follows the message; a confirm that showed the old words is asked again."""
    talk.says("toy").says("the weir", message_id="77").says("the river")
    talk.edits("the dam", "77").hears("turn.edited").is_asked("toy.send")
    assert "the dam" in talk.text
    talk.says("ya")
    assert kept == [{"what": "the dam", "where": "the river"}]
    talk.edits("the lake", "77").hears("turn.edit_too_late")


def test_an_edit_of_a_parked_draft(talk: Talk, kept: list[dict[str, str]]) -> None:
    """Also while the person is somewhere else."""
    talk.says("toy").says("the weir", message_id="77").says("menu").edits("the dam", "77").hears("turn.edited").is_asked("menu.wish")
    talk.says("toy").says("the river").says("ya")
    assert kept[0]["what"] == "the dam"


def test_an_edit_that_cannot_be_taken_is_asked_again(talk: Talk, kept: list[dict[str, str]]) -> None:
    """With the reason."""
    talk.says("toy").says("the weir", message_id="77").edits("x" * 3000, "77").hears("errors.too_long").is_asked("toy.what")


def test_an_edit_of_nothing_we_know(talk: Talk) -> None:
    """As the first message of a new conversation it brings the greeting, and is not taken for a question."""
    talk.edits("the dam", "99").hears("turn.edit_too_late", "menu.greeting").is_asked("menu.wish")


# --- photos and files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(machine: Machine) -> list[Any]:
    """A flow that wants words, a choice and photos."""
    found: list[Any] = []

    async def flow(chat: Chat) -> tuple[str, str, list[str], list[str]]:
        what = await chat.ask("what", text(at_least=5))
        sure = await chat.ask("sure", yes_no())
        shots = await collect(chat, "photos", at_most=10)
        captions = [answer["text"] for answer in chat.answers.values() if answer.get("photos") and answer.get("text")]
        return what, sure, shots, captions

    machine.speaks(toy__what="What?", toy__sure="Sure?", toy__photos="Photos?", toy__photos_more="More? {count}")
    machine.extra["toy"] = Flow(flow, lambda result, turn: found.append(result), words=("toy",), collects="photos")
    return found


def test_photos_before_their_question_are_kept(talk: Talk, album: list[Any]) -> None:
    """They are counted, kept with their caption, and the question that waits is asked again."""
    talk.says("toy").sends_photos(2).hears("turn.photos_kept").is_asked("toy.what")
    talk.says("a story").sends_photos(1, text="di balai desa").hears("turn.photos_kept").is_asked("toy.sure")
    talk.says("ya").is_asked("toy.photos.3")
    assert "3" in talk.text
    talk.sends_photos(1, text="pintu").says("selesai")
    what, sure, shots, captions = album[0]
    assert (what, sure, len(shots)) == ("a story", "yes", 4)
    assert captions == ["di balai desa", "pintu"]


def test_a_caption_that_answers_the_question_is_the_answer(talk: Talk, album: list[Any]) -> None:
    """Photo and words in one message do both."""
    talk.says("toy").sends_photos(1, text="a whole story").hears("turn.photos_kept").is_asked("toy.sure")
    talk.sends_photos(1, text="ya").is_asked("toy.photos.2")
    talk.says("selesai")
    assert album[0][0] == "a whole story"
    assert album[0][3] == []


def test_too_many_photos_are_said(talk: Talk, album: list[Any]) -> None:
    """Ten are kept, before their question and at it; never is one said to be kept that is not."""
    talk.says("toy").sends_photos(8).hears("turn.photos_kept")
    talk.sends_photos(4).hears("turn.photos_kept", "errors.file_many")
    talk.sends_photos(1).hears("errors.file_many")
    assert "sudah kami simpan" not in talk.text
    talk.says("a story").says("ya")
    assert len(album[0][2]) == 10


@pytest.mark.parametrize(
    "kind", ["video", "voice", "document", "sticker", "contact", "location", "kind", "large", "moving", "broken", "gone", "down"]
)
def test_refused_files_are_explained_and_nothing_is_kept(talk: Talk, album: list[Any], kind: str) -> None:
    """At every kind of question: words, choice, photos, and in the menu."""
    talk.sends_file(kind).hears(f"errors.file_{kind}")
    talk.says("toy").sends_file(kind).hears(f"errors.file_{kind}").is_asked("toy.what")
    talk.says("a story").sends_file(kind).hears(f"errors.file_{kind}").is_asked("toy.sure")
    talk.says("ya").sends_file(kind).hears(f"errors.file_{kind}").is_asked("toy.photos")
    assert set(talk.state["answers"]) == {"what", "sure"}


def test_words_with_a_refused_file_are_not_lost(machine: Machine, talk: Talk, album: list[Any]) -> None:
    """The words answer, the file is explained."""
    from bot.messages import Attachment

    talk.says("toy")
    talk._send(Inbound(talk.address, f"m{next(NUMBERS)}", text="a story with a film", attachments=(Attachment(refused="video"),)))
    talk.hears("errors.file_video").is_asked("toy.sure")


def test_only_the_photos_of_a_draft_are_kept(machine: Machine, talk: Talk, album: list[Any]) -> None:
    """Photos of an edited or cancelled draft leave the database; those that an edit may bring back stay."""
    from storage.models import DraftEvidence

    def stored() -> int:
        with machine.store.engine.connect() as connection:
            return len(connection.execute(DraftEvidence.__table__.select()).all())

    talk.says("toy").sends_photos(3)
    assert stored() == 3
    talk.says("batal")
    assert stored() == 0


# --- flows that lead to flows ----------------------------------------------------------------------------------------------------


def test_a_flow_may_lead_to_another_with_answers(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """What is prefilled is not asked, and back does not reach behind it."""

    async def way(chat: Chat) -> Go:
        from bot.messages import Answer

        return Go("toy", {"what": Answer(text=await chat.ask("tell", text()))})

    machine.speaks(way__tell="Tell?")
    machine.extra["way"] = Flow(way, words=("way",))
    talk.says("way").says("the weir").is_asked("toy.where")
    assert "Kembali" not in talk.labels
    talk.says("kembali").hears("turn.at_start").is_asked("toy.where")
    talk.says("the river").says("ya")
    assert kept == [{"what": "the weir", "where": "the river"}]


def test_flows_that_lead_in_a_circle_fail(machine: Machine, talk: Talk) -> None:
    """A fault of ours is noticed in the first test, not by a hanging server."""

    async def around(chat: Chat) -> Go:
        return Go("around")

    machine.deploys(around=around)
    with pytest.raises(RuntimeError, match="circle"):
        talk.says("around")


def test_a_list_has_room_for_ten(machine: Machine, talk: Talk) -> None:
    """However many choices a question has, with its controls there are at most ten."""

    def flow(count: int) -> Toy:
        async def asks(chat: Chat) -> None:
            await chat.ask("what", text())
            await chat.ask("which", choose(*(Option(f"o{number}", f"o{number}") for number in range(count))))

        return asks

    machine.speaks(toy__which="Which?", toy__what="What?")
    for count in range(1, 11):
        machine.deploys(toy=flow(count))
        talk.says("menu").says("toy").says("x")
        assert len(talk.labels) == min(CHOICES, count + 2)
        assert talk.labels[count:] == ["Kembali", "Batal"][: CHOICES - count]


# --- anything that can be typed ----------------------------------------------------------------------------------------------------


@contextmanager
def unharmed(machine: Machine) -> Iterator[None]:
    """After it, the machine still answers somebody else."""
    yield
    assert Talk(machine).says("halo").waiting == "menu.wish"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.text(max_size=300) | st.from_regex(r"[/.0-9²³٣๓\s\[\]kode]{1,30}"), button=st.just("") | st.text(max_size=60))
def test_no_line_and_no_button_breaks_a_turn(machine: Machine, kept: list[dict[str, str]], line: str, button: str) -> None:
    """At a free question and at a choice, whatever comes is answered with text and a question."""
    for steps in ((), ("toy",), ("toy", "the weir", "the river")):
        talk = Talk(machine, chat=f"any-{len(steps)}")
        if talk.address.chat not in _begun.setdefault(id(machine), set()):
            _begun[id(machine)].add(talk.address.chat)
            for step in steps:
                talk.says(step)
        result = talk.would(line, button)
        assert result.out and all(message.text.strip() for message in result.out)
        assert result.waiting


_begun: dict[int, set[str]] = {}


def test_signs_that_nobody_types_are_taken_out(talk: Talk, kept: list[dict[str, str]]) -> None:
    """Halves of characters, controls and marks that turn text around are not stored; letters of any script and emoji are."""
    talk.says("toy").says("a\x00b\ud800c\u202ed\u200be \u0645\u0631\u062d\u0628\u0627 👨‍👩‍👧 é\r\nf").is_asked("toy.where")
    assert talk.state["answers"]["what"]["text"] == "abcde مرحبا 👨‍👩‍👧 é\nf"


def test_a_state_of_a_turn_is_plain_json(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """Nothing in it but strings, numbers, lists and mappings, small enough for a row."""
    import json

    talk.says("toy").says("x" * 2000).says("y" * 2000)
    stored = json.dumps(talk.state)
    assert json.loads(stored) == talk.state
    assert len(stored) < 20_000


def test_language_follows_the_person(machine: Machine) -> None:
    """English for who writes from an English phone, Indonesian for everybody else; it can be changed and stays."""
    english, other = Talk(machine), Talk(machine)
    english.says("hello", language="en-GB").hears("menu.greeting", language="en")
    other.says("halo", language="fr").hears("menu.greeting")
    other.says("/bahasa").taps("English").hears("language.set", language="en").is_asked("menu.wish")
    other.says("/lapor").hears("tip.indicator", language="en")
    assert re.search(r"[A-Z]", other.text)


def test_control_words_in_a_story_are_a_story(talk: Talk, kept: list[dict[str, str]]) -> None:
    """Only a whole line is a command; "lapor" as the answer to a free question is an answer."""
    talk.says("toy").says("kembali ke menu utama lalu batal").is_asked("toy.where")
    talk.says("lapor").is_asked("toy.send")


def test_an_edited_answer_brings_back_the_old_one(machine: Machine, talk: Talk) -> None:
    """Back after "change" leaves the answer as it was, also when the person goes to the menu in between; a new answer ends that."""

    async def flow(chat: Chat) -> None:
        what = await chat.ask("what", text())
        await chat.ask("send", choose(Option("go", "go"), Option("edit:what", "change")), what=what)

    machine.speaks(toy__what="What?", toy__send="Send {what}?")
    machine.extra["toy"] = Flow(flow, words=("toy",), parks=True)
    talk.says("toy").says("the weir").taps("change").is_asked("toy.what")
    talk.says("kembali").is_asked("toy.send")
    assert "the weir" in talk.text
    talk.taps("change").says("menu").says("toy").is_asked("toy.send")
    talk.taps("change").says("the dam").is_asked("toy.send")
    assert "the dam" in talk.text
    talk.says("kembali").is_asked("toy.what")
    talk.says("the lake").is_asked("toy.send")
    assert "the lake" in talk.text


def test_photos_reader_is_asked_once_per_message(machine: Machine, talk: Talk) -> None:
    """A flow may ask for a single message of photos, too."""
    found: list[Any] = []

    async def flow(chat: Chat) -> tuple[str, ...] | None:
        return await chat.ask("photos", photos())

    machine.speaks(toy__photos="Photos?")
    machine.extra["toy"] = Flow(flow, lambda result, turn: found.append(result), words=("toy",))
    talk.says("toy").sends_photos(3)
    assert len(found[0]) == 3


def test_edits_keep_the_message_of_the_right_person(machine: Machine, talk: Talk, kept: list[dict[str, str]]) -> None:
    """A message id of one chat means nothing in another."""
    other = Talk(machine)
    talk.says("toy").says("the weir", message_id="5")
    other.says("toy").edits("the dam", "5").hears("turn.edit_too_late")
    assert talk.would("bantuan").state is not None
    talk.says("the river")
    assert talk.state["answers"]["what"]["text"] == "the weir"
    assert replace(other.last, edited=False) != talk.last
