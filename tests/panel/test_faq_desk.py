"""The FAQ desk: a phrasing is proposed, measured, accepted by a second person, used, exported, and taken out."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Callable

import pytest

from faq.entries import Phrasing, load_phrasings
from faq.match import Faq
from faq.regression import compare, known_questions
from storage import phrasings
from storage.counts import Counts
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]
WORDS, ENTRY = "nyawer duit di orkes kampanye paslon oleh gak", "uang.donasi-kampanye"
FAQ = Faq.load()
ALLOWED = "sosmed.lihat-tanpa-interaksi"
ANY = FAQ.entries[ALLOWED]


@pytest.fixture
def desk(build: Callable[..., House]) -> House:
    """A panel with the FAQ and three curators."""
    house = build(faq=FAQ.taught(()))
    for name in ("rina", "budi"):
        house.account(name, "reviewer")
    house.account("audi", "auditor")
    return house


def propose(staff: Browser, words: str = WORDS, entry: str = ENTRY) -> str:
    """Propose a phrasing; the address of its page."""
    staff.get("/faq")
    page = staff.post("/faq/frasa", {"words": words, "entry": entry}, follow=False)
    assert page.status == 303, page.text
    return page.headers["Location"].partition("?")[0]


def test_a_second_person_makes_a_phrasing_count(desk: House, browser: Open) -> None:
    """The figures stand beside it, its writer cannot accept it, a second curator can; the bot then answers, until it is taken out."""
    rina, budi = browser(desk), browser(desk)
    rina.login("rina")
    budi.login("budi")
    here = propose(rina)
    text = rina.get(here).text
    assert "Pertanyaan uji (358)" in text and "Soal kuis (265)" in text and "orang lain harus menerimanya" in text
    assert "/terima" not in text and rina.post(f"{here}/terima").status == 409
    assert "Menunggu orang kedua" in budi.get("/faq").text
    assert "minta memilih" in budi.get(here).text
    assert "Frasa diterima" in budi.post(f"{here}/terima").text
    assert "menjawab langsung" in budi.get(f"/faq?t={WORDS.replace(' ', '+')}").text
    file = budi.request("GET", "/faq/frasa.toml")
    assert tomllib.loads(file.text) == {ENTRY: {"phrasings": [WORDS]}}
    budi.get(here)
    assert "Frasa dikeluarkan" in budi.post(f"{here}/cabut").text
    assert "menjawab langsung" not in budi.get(f"/faq?t={WORDS.replace(' ', '+')}").text
    assert {"phrasing_proposed", "phrasing_accepted", "phrasing_dropped", "phrasings_exported"} <= {act.action for act in desk.acts()}


def test_what_cannot_be_a_phrasing_is_refused_and_stays_typed(desk: House, browser: Open) -> None:
    """No entry, no meaning, somebody's number, the same again: each is said, and nothing is kept."""
    rina = browser(desk)
    rina.login("rina")
    wrong = [
        ("boleh ikut arisan keluarga calon bupati", "tidak.ada", "Pilih jawaban"),
        ("x", ENTRY, "8 sampai 200"),
        ("ya " * 100, ENTRY, "8 sampai 200"),
        ("boleh hubungi saya di 081234567890 soal kampanye", ENTRY, "memuat nama, nomor"),
    ]
    for words, entry, said in wrong:
        rina.get("/faq")
        page = rina.post("/faq/frasa", {"words": words, "entry": entry})
        assert page.status == 400 and said in page.text and 'id="words"' in page.text
    propose(rina)
    rina.get("/faq")
    assert rina.post("/faq/frasa", {"words": WORDS.upper(), "entry": ENTRY}).status == 409
    assert len(desk.store.read_now(phrasings.every)) == 1
    for path in ("/faq/frasa/zz", f"/faq/frasa/{'0' * 32}"):
        assert rina.get(path).status == 404


def test_hostile_words_of_a_phrasing_stay_words(desk: House, browser: Open) -> None:
    """Signs of HTML, of templates, and hidden ones are shown as what they are, on the page and in the file."""
    rina, budi = browser(desk), browser(desk)
    rina.login("rina")
    budi.login("budi")
    words = '<script>alert(1)</script> {{7*7}} "like" postingan \u202ecalon'
    here = propose(rina, words, "sosmed.like-postingan")
    for path in (here, "/faq"):
        text = budi.get(path).text
        assert "<script>alert" not in text and "\u202e" not in text and "{{7*7}}" in text
    budi.get(here)
    assert budi.post(f"{here}/terima").status == 200
    assert tomllib.loads(budi.request("GET", "/faq/frasa.toml").text) == {"sosmed.like-postingan": {"phrasings": [words]}}


def test_questions_that_are_alike_stand_together(desk: House, browser: Open) -> None:
    """Nearly equal questions are one line with a number, are taught or read together, and the largest group comes first."""
    asked = [
        "boleh nyawer di orkes paslon?",
        "Bolehkah nyawer di orkes paslon",
        "apakah boleh nyawer orkes paslon ya",
        "cuti melahirkan bagaimana",
    ]
    for words in asked:
        desk.store.write_now(lambda connection, words=words: Counts().keep_unanswered(connection, dt.date(2026, 11, 19), words, [ENTRY]))
    rina = browser(desk)
    rina.login("rina")
    text = rina.get("/faq").text
    assert "2 pertanyaan lain yang mirip" in text and text.count("Ajarkan<") == 2
    group = re.findall(r'<form method="post" action="/faq/selesai">.*?</form>', text, re.S)[0]
    names = re.findall(r'name="question" value="(\w+)"', group)
    assert len(names) == 3
    for name in names:
        rina.get("/faq")
        rina.post("/faq/selesai", {"question": name})
    assert "orkes paslon" not in rina.get("/faq").text and "cuti melahirkan" in rina.page.text


def test_an_auditor_has_no_desk(desk: House, browser: Open) -> None:
    """Only curators teach."""
    audi = browser(desk)
    audi.login("audi")
    assert audi.get("/faq").status == 403


def test_teaching_one_thing_leaves_the_rest_as_it_was() -> None:
    """What was taught is answered; the known questions fare the same; the matcher that was copied knows nothing of it."""
    taught = FAQ.taught([Phrasing(ENTRY, WORDS)])
    assert FAQ.ask(WORDS).outcome != "answer"
    assert taught.ask(WORDS).entries == (ENTRY,) and taught.ask(WORDS + " ya min?").candidates[0].entry == ENTRY
    comparison = compare(FAQ, taught)
    assert comparison.safe and not [change for change in comparison.changed if not change.better]
    assert [one.before.questions for one in comparison.sets] == [358, 265]


def test_a_phrasing_that_makes_a_boleh_wrong_is_seen() -> None:
    """Teaching a forbidden act as an allowed one shows in the figures, where it is answered at all."""
    forbidden = [one for one in known_questions()["development"] if FAQ.entries.get(min(one.expected), ANY).verdict == "dilarang"]
    comparison = compare(FAQ, FAQ.taught([Phrasing(ALLOWED, one.question) for one in forbidden]))
    first, second = comparison.sets[0].before, comparison.sets[0].after
    assert first.top1 is not None and second.top1 is not None and second.top1 < first.top1
    assert sum(1 for change in comparison.changed if not change.better) > 50
    assert comparison.safe == (second.false_boleh == 0)


def test_unknown_entries_and_empty_words_teach_nothing() -> None:
    """What was accepted once and is gone from the repository is passed over."""
    taught = FAQ.taught([Phrasing("tidak.ada", WORDS), Phrasing(ENTRY, "?!")])
    assert taught.ask("boleh like postingan calon?") == FAQ.ask("boleh like postingan calon?")


def test_the_exported_file_is_read_where_the_matcher_is_trained(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`faq/phrasings` takes the panel's TOML beside its own tables."""
    folder = tmp_path_factory.mktemp("phrasings")
    (folder / "lampung.toml").write_text(f'["{ENTRY}"]\nphrasings = ["{WORDS}"]\n', encoding="utf-8")
    assert list(load_phrasings(folder)) == [("lampung", ENTRY, WORDS)]
