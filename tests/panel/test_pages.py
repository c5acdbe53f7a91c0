"""What pages are made of: sentences in two languages, templates that trust nothing, words made harmless."""

from __future__ import annotations

import re
import string
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import panel
from panel.pages import HIDDEN, VISIBLE, plainly, runs, sentence, templates, texts

FOLDER = Path(panel.__file__).parent


def facts(text: str) -> set[str]:
    """The names of the facts of a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_things() -> None:
    """Every sentence exists in both languages with the same facts, and none is empty."""
    both = texts()
    assert set(both["id"]) == set(both["en"])
    for name, text in both["id"].items():
        assert facts(text) == facts(both["en"][name]), name
        assert text.strip() and both["en"][name].strip(), name


def test_every_sentence_a_template_names_is_written() -> None:
    """No page fails for a sentence nobody wrote."""
    missing: list[tuple[str, str]] = []
    for name in templates().list_templates():
        source = (FOLDER / "templates" / name).read_text("utf-8")
        missing.extend((name, key) for key in re.findall(r'\bt\("([\w.]+)"[,)]', source) if key not in texts()["id"])
    assert missing == []


def test_every_act_in_the_code_has_a_name_for_the_auditor() -> None:
    """What the program writes into the audit log is named in both languages."""
    source = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    acts = set(re.findall(r'audit\(request, "(\w+)"', source)) | set(re.findall(r'audit\.add\(connection, [\w."]+, "(\w+)"', source))
    acts |= set(re.findall(r'change\(request, "(\w+)"', source))
    assert len(acts) > 25
    assert {act for act in acts if f"act.{act}" not in texts()["id"]} == set()


def test_templates_trust_nothing() -> None:
    """Nothing is marked safe, no script or style stands in a page, and escaping is on."""
    assert templates().autoescape is True
    for path in (FOLDER / "templates").glob("*.html"):
        source = path.read_text("utf-8")
        assert not re.search(r"\|\s*safe|autoescape|Markup|\sstyle=|\son\w+=|javascript:|<style|<script(?! src=)", source), path.name
    for path in FOLDER.glob("*.py"):
        assert "Markup" not in path.read_text("utf-8"), path.name


def test_every_form_that_posts_carries_a_token() -> None:
    """No form was forgotten."""
    for path in (FOLDER / "templates").glob("*.html"):
        for form in re.findall(r'<form method="post".*?</form>', path.read_text("utf-8"), re.DOTALL):
            assert "bits.token()" in form, (path.name, form[:80])


@given(st.text())
def test_no_hidden_sign_survives(words: str) -> None:
    """Whatever is typed, the shown text has no control, direction or zero-width sign and no clickable link."""
    import unicodedata

    shown = plainly(words)
    assert not [sign for sign in shown if sign not in VISIBLE and unicodedata.category(sign) in HIDDEN]
    assert not re.search(r"(?i)\bhttps?://", shown)


@given(st.text(alphabet=string.ascii_letters + " ,;!?-\n", max_size=200))
def test_ordinary_words_stay_as_they_are(words: str) -> None:
    """Words without links and hidden signs are not touched."""
    assert "".join(run.text for run in runs(words)) == words


def test_links_are_defanged() -> None:
    """Links of every common form lose their power and stay readable."""
    for link, shown in (
        ("https://a.example.com/x.y?z=1", "hxxps://a[.]example[.]com/x.y?z=1"),
        ("HTTP://A.ID", "hxxp://A[.]ID"),
        ("www.jahat.id/x", "www[.]jahat[.]id/x"),
        ("t.me/joinchat", "t[.]me/joinchat"),
        ("ftp://a.b.c/d", "ftp://a[.]b[.]c/d"),
        ("bit.ly/3x", "bit[.]ly/3x"),
        ("Drs. H. Budi, S.Pd., M.Si.", "Drs. H. Budi, S.Pd., M.Si."),
    ):
        assert plainly(link) == shown


def test_a_sentence_takes_facts_of_any_name() -> None:
    """Facts called `name` or `language` go in like any other."""
    assert "rina" in sentence("id", "signed_in", name="rina")
