"""The quiz: which cards are drawn, how they are answered, what is counted, and what is not kept."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.messages import Answer
from bot.questions import plain
from faq.entries import VERDICTS, load_entries
from faq.scenarios import BY_ANSWER, BY_INDICATOR, HAND, LEVELS, ROUNDS, Scenario, draw, faults, load_scenarios
from handlers.quiz import ANSWERS, Outcome, outcome_of, weakest
from handlers.who import person_name
from storage.practice import Certificates, Given, Practice, Score, Weak, quiz_figures
from tests.talk import Machine, Talk

ENTRIES, SCENARIOS = load_entries(), load_scenarios()
DECK, INDICATORS = list(SCENARIOS.values()), {entry.id: entry.indicator for entry in ENTRIES.values()}
SEEDS = st.integers(0, 2**32 - 1)
FIRST_ENTRIES = 120


def shown(talk: Talk) -> Scenario:
    """The scenario whose card waits."""
    assert talk.result is not None
    return SCENARIOS[talk.result.waiting.removeprefix("card.").removesuffix(".again")]


def begun(talk: Talk) -> Talk:
    """A quiz at its first card, role and region skipped."""
    return talk.says("kuis").taps("Mulai").taps("Lewati").taps("Lewati")


def played(talk: Talk, wrong: int = 0) -> list[Scenario]:
    """A quiz answered to its end, the first `wrong` cards wrongly; the cards that came."""
    begun(talk)
    cards = []
    while talk.result is not None and talk.result.waiting.startswith("card."):
        card = shown(talk)
        cards.append(card)
        answers = [answer for answer in VERDICTS if (answer == card.answer) != (len(cards) <= wrong)]
        talk.says(answers[0])
    return cards


# --- the scenarios ------------------------------------------------------------------------------------------------------------------


def test_every_scenario_is_complete_and_follows_its_entry() -> None:
    """Each belongs to an entry, has an answer, a level and a reason, in two languages; no entry stands with one scene alone."""
    assert faults(SCENARIOS, ENTRIES) == []
    assert len({scene.entry for scene in DECK}) >= FIRST_ENTRIES


def test_no_scene_is_told_twice() -> None:
    """Two scenes with the same words would be one card twice."""
    assert not [text for text, number in Counter(scene.text for scene in DECK).items() if number > 1]


def test_what_is_wrong_with_a_scenario_is_named() -> None:
    """A scene without entry, answer, level or words is found before it is shown."""
    bad = Scenario("x.y.z", "x.y", 4, "mungkin", "", "a", "b", "c" * 300)
    found = "\n".join(faults({"x.y.z": bad}, ENTRIES))
    for part in ("no entry x.y", "mungkin is no answer", "4 is no level", "text must", "why_en must", "only one scenario"):
        assert part in found


# --- drawing ------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, number=st.integers(0, ROUNDS - 1))
def test_a_hand_is_spread_and_repeatable(seed: int, number: int) -> None:
    """The same seed gives the same ten cards: all indicators, all answers, all levels, no entry twice, easy ones first."""
    hand = draw(DECK, INDICATORS, seed, number)
    assert hand == draw(DECK, INDICATORS, seed, number)
    assert len(hand) == HAND == len({card.entry for card in hand})
    assert Counter(INDICATORS[card.entry] for card in hand) == Counter(BY_INDICATOR)
    assert Counter(card.answer for card in hand) == Counter(BY_ANSWER)
    assert {card.level for card in hand} == set(LEVELS)
    assert [card.level for card in hand] == sorted(card.level for card in hand)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_no_card_comes_twice_until_the_deck_is_shuffled_anew(seed: int) -> None:
    """ "Again" brings new cards, round after round."""
    cards = [card.id for number in range(ROUNDS) for card in draw(DECK, INDICATORS, seed, number)]
    assert len(cards) == len(set(cards)) == HAND * ROUNDS


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, keep=st.integers(0, 40), number=st.integers(0, 20))
def test_a_small_deck_gives_what_it_has(seed: int, keep: int, number: int) -> None:
    """Whatever deck there is, a hand holds no card and no entry twice and the draw never fails."""
    deck = random.Random(seed).sample(DECK, keep)
    hand = draw(deck, INDICATORS, seed, number)
    assert len({card.entry for card in hand}) == len(hand) <= HAND


def test_a_scenario_whose_entry_is_gone_is_left_out() -> None:
    """A deploy that drops an entry does not break a quiz."""
    without = {name: indicator for name, indicator in INDICATORS.items() if not name.startswith("sosmed.")}
    assert not [card for card in draw(DECK, without, 1) if card.entry.startswith("sosmed.")]


# --- scoring ------------------------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(lambda entry, right: Given(entry[0], entry, right), st.sampled_from(["a.1", "a.2", "b.1", "c.1"]), st.booleans()),
        max_size=12,
    )
)
def test_the_weakest_topics_are_those_with_most_wrong_answers(cards: list[Given]) -> None:
    """At most two, never one that was all right, and none outside with more wrong answers than one inside."""
    wrong = Counter(card.topic for card in cards if not card.right)
    named = [entry[0] for entry in weakest(cards)]
    assert len(named) == min(2, len(wrong)) == len(set(named))
    assert all(wrong[topic] >= wrong[other] for topic in named for other in wrong if other not in named)


@settings(max_examples=60)
@given(day=st.dates(dt.date(2024, 1, 1), dt.date(2090, 1, 1)), of=st.integers(1, 15), data=st.data())
def test_a_certificates_code_proves_day_and_score(day: dt.date, of: int, data: st.DataObject) -> None:
    """What was put in comes out, however the code is typed; another key, or one letter changed, proves nothing."""
    certificates = Certificates(b"k" * 32)
    score = Score(day, data.draw(st.integers(0, of)), of)
    code = certificates.code(score)
    assert certificates.read(code) == certificates.read(f" {code.lower().replace('-', ' ').replace('0', 'o')} ") == score
    place = data.draw(st.integers(0, len(code) - 1).filter(lambda index: code[index] != "-"))
    letter = data.draw(st.sampled_from([sign for sign in "0123456789ABCDEFGHJKMNPQRSTVWXYZ" if sign != code[place]]))
    assert certificates.read(code[:place] + letter + code[place + 1 :]) is None
    assert Certificates(b"other" * 7).read(code) is None


@pytest.mark.parametrize("code", ["", "1", "é" * 16, "0" * 16, "A" * 400, "----", "<script>", "0519-MXTJ-G2GP-M62"])
def test_a_made_up_code_proves_nothing(code: str) -> None:
    """Nonsense is refused without a fault."""
    assert Certificates(b"k" * 32).read(code) is None


# --- as a conversation --------------------------------------------------------------------------------------------------------------


def test_a_quiz_from_the_first_card_to_the_score(talk: Talk) -> None:
    """Ten cards, each with verdict, reason and article after it; at the end the score and the weakest topics with their answers."""
    begun(talk)
    for number in range(1, HAND + 1):
        card = shown(talk)
        assert f"Cerita {number} dari {HAND}" in talk.text and card.text in talk.text
        talk.says(card.answer if number > 3 else next(answer for answer in VERDICTS if answer != card.answer))
        assert card.why in talk.text
        assert ENTRIES[card.entry].basis[0].regulation in talk.text
        talk.hears("quiz.right" if number > 3 else "quiz.wrong")
    talk.is_asked("quiz_result.wish")
    assert "Nilai Anda: 7 dari 10" in talk.text
    title = talk.labels[0]
    talk.taps(title)
    assert title in talk.text
    assert talk.waiting.startswith("self_check.")


def test_a_card_is_answered_by_button_word_or_number(talk: Talk) -> None:
    """All three ways mean the same."""
    begun(talk)
    first = shown(talk)
    talk.taps({"boleh": "Boleh", "dilarang": "Dilarang", "bersyarat": "Bersyarat"}[first.answer]).hears("quiz.right")
    second = shown(talk)
    talk.says({"boleh": "bole", "dilarang": "ga boleh", "bersyarat": "tergantung"}[second.answer]).hears("quiz.right")
    third = shown(talk)
    talk.says(str([option.value for option in ANSWERS].index(third.answer) + 1)).hears("quiz.right")
    talk.says("xyzzy").hears("errors.choose_one")
    assert shown(talk) not in (first, second, third)


def test_the_words_for_an_answer_are_not_shared() -> None:
    """No word means two answers, also not in another spelling."""
    words = [plain(word) for option in ANSWERS for word in option.keywords]
    assert len(words) == len(set(words))


def test_an_answer_stands(talk: Talk) -> None:
    """Who has seen the verdict cannot go back and change the answer."""
    begun(talk)
    talk.says("boleh")
    second = shown(talk)
    assert "Kembali" not in talk.labels
    talk.says("kembali").hears("turn.stands")
    assert shown(talk) == second


def test_the_card_before_can_be_passed_on(talk: Talk) -> None:
    """ "Kirim ke rekan" gives the last scene with its answer as a text, and the waiting card again."""
    begun(talk)
    first = shown(talk)
    assert "Kirim ke rekan" not in talk.labels
    talk.says("boleh")
    second = shown(talk)
    talk.taps("Kirim ke rekan").hears("quiz.share")
    assert first.text in talk.text and second.text in talk.text
    assert shown(talk) == second
    talk.says(second.answer).hears("quiz.right")


def test_again_brings_ten_new_cards_and_asks_nothing_again(talk: Talk) -> None:
    """Role and region are known already; no card of the first round comes back."""
    first = {card.id for card in played(talk)}
    talk.taps("Kuis lagi")
    assert talk.waiting.startswith("quiz.card.")
    second = set()
    while talk.result is not None and talk.result.waiting.startswith("card."):
        second.add(shown(talk).id)
        talk.says("dilarang")
    assert len(second) == HAND and not first & second


def test_the_daily_quiz_is_five_cards_the_same_for_all(machine: Machine, clock: object) -> None:
    """Two people get the same five on one day."""
    hands = []
    for _ in range(2):
        talk = Talk(machine)
        talk.says("kuis").taps("Kuis harian").taps("Lewati").taps("Lewati")
        hand = []
        while talk.result is not None and talk.result.waiting.startswith("card."):
            hand.append(shown(talk).id)
            talk.says("boleh")
        hands.append(hand)
        assert "dari 5" in talk.text
    assert hands[0] == hands[1] and len(hands[0]) == 5


def test_two_people_get_different_cards(machine: Machine) -> None:
    """The seed is the conversation's."""
    one, other = begun(Talk(machine)), begun(Talk(machine))
    assert shown(one) != shown(other) or shown(one.says("boleh")) != shown(other.says("boleh"))


def test_a_quiz_in_english(talk: Talk) -> None:
    """Scenes, answers and reasons are English for whoever speaks it."""
    talk.says("/bahasa").taps("English").says("quiz").taps("Start").taps("Skip").taps("Skip")
    card = shown(talk)
    assert card.text_en in talk.text
    talk.taps("It depends")
    assert card.why_en in talk.text


def test_bad_input_at_every_step(talk: Talk) -> None:
    """Photos, nonsense and unknown places are explained; nothing is lost."""
    talk.says("kuis").says("entah apa").hears("errors.choose_one").says("mulai").says("astronot").hears("errors.choose_one")
    talk.says("guru").says("qqqqqqq").hears("errors.place_or_skip").says("lampung timur")
    assert talk.waiting.startswith("quiz.card.")
    talk.sends_file("video").is_asked(talk.waiting)
    talk.says("").is_asked(talk.waiting)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"right": 1}', '{"weak": 3}'])
def test_a_broken_result_is_said_to_be_gone(talk: Talk, text: str) -> None:
    """A result of another version is not shown as one."""
    with pytest.raises(Exception, match=r"quiz_result\.gone"):
        outcome_of().read(Answer(text=text))


# --- what is counted ----------------------------------------------------------------------------------------------------------------


def test_a_finished_quiz_is_counted_by_month_without_a_person(machine: Machine, talk: Talk) -> None:
    """Topics, role and region are counted on the first of the month; an unfinished quiz is not counted at all."""
    begun(Talk(machine)).says("boleh")
    assert machine.store.read_now(lambda connection: machine.counts.between(connection, dt.date.min, dt.date.max)) == {}
    talk.says("kuis").taps("Mulai").says("guru").says("lampung timur")
    while talk.result is not None and talk.result.waiting.startswith("card."):
        talk.says("dilarang")
    day = machine.clock().date().replace(day=1)
    counted = machine.store.read_now(lambda connection: machine.counts.between(connection, day, day))
    assert counted["quiz.done"] == counted["quiz.role.guru"] == counted["quiz.region.18-07"] == 1
    topics = {name: number for name, number in counted.items() if name.startswith("quiz.topic.")}
    assert sum(topics.values()) == HAND
    everything = machine.store.read_now(lambda connection: machine.counts.between(connection, dt.date.min, dt.date.max))
    assert everything == counted


def test_helping_oneself_does_not_count_twice(machine: Machine, talk: Talk) -> None:
    """Help, stale words and the way to the certificate and back leave the counts alone."""
    played(talk)
    talk.says("bantuan").says("xyzzy").taps("Sertifikat").says("kembali")
    counted = machine.store.read_now(lambda connection: machine.counts.between(connection, dt.date.min, dt.date.max))
    assert counted["quiz.done"] == 1


def test_small_numbers_are_hidden(machine: Machine) -> None:
    """Four quizzes show nothing; many show what is wrong most, and hide the small rest with whatever would give it away."""
    practice, day = Practice(machine.counts), dt.date(2024, 11, 3)

    def finish(times: int, role: str, region: str, *cards: Given) -> None:
        for _ in range(times):
            machine.store.write_now(lambda connection: practice.finished(connection, day, cards, role, region))

    finish(4, "guru", "18.07", Given("sosmed", "sosmed.like-postingan", False))
    figures = machine.store.read_now(quiz_figures)
    assert figures.finished is None and figures.by_role[0].number is None
    assert figures.topics == (Weak("sosmed", None, None),)
    finish(20, "guru", "18.07", Given("sosmed", "sosmed.like-postingan", False), Given("uang", "uang.donasi-kampanye", True))
    finish(2, "warga", "19", Given("foto", "foto.pose-netral", True))
    finish(9, "", "", Given("sosmed", "sosmed.like-postingan", True))
    finish(6, "guru", "32.73", Given("sosmed", "sosmed.like-postingan", True))
    figures = machine.store.read_now(quiz_figures)
    assert figures.finished == 41
    shown_roles = {cell.name: cell.number for cell in figures.by_role}
    assert shown_roles["warga"] is None and list(shown_roles.values()).count(None) >= 2
    assert figures.topics == (Weak("sosmed", 39, 62), Weak("foto", None, None), Weak("uang", None, None))
    assert figures.by_role_topic["guru"][0].name == "sosmed"
    assert figures.by_province_topic["18"][0] == Weak("sosmed", 24, 100)
    assert figures.by_province_topic["19"] == (Weak("foto", None, None),)
    assert figures.by_province_topic["32"] == (Weak("sosmed", None, None),)


# --- the certificate ----------------------------------------------------------------------------------------------------------------


def test_a_certificate_is_offered_once_and_its_name_is_gone_from_the_conversation(machine: Machine, talk: Talk) -> None:
    """On the web chat the message carries the document's token; the name stands neither in the state nor in any message."""
    played(talk, wrong=1)
    talk.taps("Sertifikat").is_asked("quiz_result.name").says("Siti Aminah, S.Pd.").hears("quiz_result.certificate")
    assert "Aminah" not in str(talk.state) and not any("Aminah" in message.text for message in talk.heard)
    token = next(message.document for message in talk.heard if message.document)
    waiting = machine.papers.downloads.take(token)
    assert waiting is not None and waiting.make().startswith(b"%PDF-")
    assert machine.papers.downloads.take(token) is None
    talk.is_asked("quiz_result.wish")


def test_without_a_public_address_other_channels_are_sent_to_the_web_chat(machine: Machine) -> None:
    """They are told before they type a name."""
    talk = Talk(machine, channel="telegram")
    played(talk)
    talk.taps("Sertifikat").hears("papers.nowhere").is_asked("quiz_result.wish")
    assert not any(message.document for message in talk.heard)


@pytest.mark.parametrize("name", ["", "1", "19870101 201001 1 001", "a", "Ali 2", "@netra", "علي", "x" * 61, "<b>Ali</b>", "Ali\x00"])
def test_a_name_that_is_none_is_refused(talk: Talk, name: str) -> None:
    """Figures, signs and other scripts are not printed."""
    with pytest.raises(Exception, match=r"errors\."):
        person_name().read(Answer(text=name))


@pytest.mark.parametrize("name", ["Siti Aminah, S.Pd.", "Ni Luh Ayu", "D’Angelo", "Dr. H. Ma'ruf", "Müller-Nuñez", "  Ali\n bin  Abu "])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    """Titles, apostrophes and hyphens belong to names; blanks are put in order."""
    assert person_name().read(Answer(text=name)) == " ".join(name.split())


def test_the_result_holds_no_answers_and_no_name() -> None:
    """What goes on to the result is a score, two entries and how to draw again."""
    assert set(Outcome.__slots__) == {"right", "of", "weak", "last", "seed", "round", "daily", "role", "region"}
