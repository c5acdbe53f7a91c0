"""Regions by what people call them, and what in a text may be the writer's own identity."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faq.identity import find_identity
from faq.regions import AT_MOST, find, known, name_of
from tests.nasty import NASTY

REGIONS = known().regions


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("lamtim", "Kabupaten Lampung Timur, Lampung"),
        ("Lam-Tim", "Kabupaten Lampung Timur, Lampung"),
        ("lampung timur", "Kabupaten Lampung Timur, Lampung"),
        ("kab. lampung timur", "Kabupaten Lampung Timur, Lampung"),
        ("lampung tmur", "Kabupaten Lampung Timur, Lampung"),
        ("LAMPUNG  TIMUR!", "Kabupaten Lampung Timur, Lampung"),
        ("Way Jepara", "Way Jepara, Kabupaten Lampung Timur, Lampung"),
        ("way jepara, lampung timur", "Way Jepara, Kabupaten Lampung Timur, Lampung"),
        ("way jepara lamtim", "Way Jepara, Kabupaten Lampung Timur, Lampung"),
        ("sukadana lamtim", "Sukadana, Kabupaten Lampung Timur, Lampung"),
        ("labuhan maringgai", "Labuhan Maringgai, Kabupaten Lampung Timur, Lampung"),
        ("balam", "Kota Bandar Lampung, Lampung"),
        ("bandarlampung", "Kota Bandar Lampung, Lampung"),
        ("kota metro", "Kota Metro, Lampung"),
        ("kota bandung", "Kota Bandung, Jawa Barat"),
        ("kab bandung", "Kabupaten Bandung, Jawa Barat"),
        ("kota jogja", "Kota Yogyakarta, Daerah Istimewa Yogyakarta"),
        ("jogja", "Daerah Istimewa Yogyakarta"),
        ("kec. bandung", "Bandung, Kabupaten Tulungagung, Jawa Timur"),
        ("way jepara lampung", "Way Jepara, Kabupaten Lampung Timur, Lampung"),
        ("jaksel", "Kota Administrasi Jakarta Selatan, Daerah Khusus Ibukota Jakarta"),
        ("solo", "Kota Surakarta, Jawa Tengah"),
        ("tangsel", "Kota Tangerang Selatan, Banten"),
        ("prov lampung", "Lampung"),
        ("kabanjahe", "Kabanjahe, Kabupaten Karo, Sumatera Utara"),
        ("kotabumi", "Kotabumi, Kabupaten Lampung Utara, Lampung"),
    ],
)
def test_places_are_found_as_people_call_them(words: str, path: str) -> None:
    """The one that is meant, or the first of several."""
    found = find(words)
    assert found and found[0].path == path


@pytest.mark.parametrize("words", ["sukadana", "bandung", "jambi", "tangerang"])
def test_a_name_of_several_places_offers_them(words: str) -> None:
    """Never one of them alone; each can be told from the others."""
    found = find(words)
    assert 2 <= len(found) <= AT_MOST
    assert len({region.path for region in found}) == len(found)


@pytest.mark.parametrize("words", ["", "a", "di", "qqqqqq zzz", "12345", "🙂🙂🙂", "saya tidak tahu di mana itu terjadi"])
def test_what_is_no_place_finds_none(words: str) -> None:
    """Rather than a place that nobody meant."""
    assert list(find(words)) == []


@pytest.mark.parametrize("region", random.Random(1).sample(REGIONS, 120), ids=lambda region: region.code)
def test_every_region_is_found_by_its_own_path(region: object) -> None:
    """Name and what it lies in, as it is written officially."""
    assert region in find(region.path)  # type: ignore[attr-defined]
    assert name_of(region.code) == region.path  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=80) | st.sampled_from(NASTY).map(lambda words: words[:80]))
def test_no_words_break_the_search(words: str) -> None:
    """Whatever is typed: at most so many, each once."""
    found = find(words)
    assert len(found) <= AT_MOST
    assert len(set(found)) == len(found)


def test_an_unknown_code_is_its_own_name() -> None:
    """Old codes stay readable."""
    assert name_of("99.99") == "99.99"


# --- identity -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kinds", "without"),
    [
        ("nama saya Budi Santoso dan saya melihat", ["name"], "nama saya [dihapus] dan saya melihat"),
        ("perkenalkan saya Siti dari dinas", ["name"], "perkenalkan saya [dihapus] dari dinas"),
        ("My name is Budi and I saw it", ["name"], "My name is [dihapus] and I saw it"),
        ("HP 0812-3456-7890", ["phone"], "HP [dihapus]"),
        ("wa: +62 812 3456 7890 ya", ["phone"], "wa: [dihapus] ya"),
        ("surel budi@contoh.co.id.", ["email"], "surel [dihapus]."),
        ("NIK 1871012304880001", ["nik"], "NIK [dihapus]"),
    ],
)
def test_identities_are_found_and_taken_out(words: str, kinds: list[str], without: str) -> None:
    """And nothing beside them."""
    assert find_identity(words) == (kinds, without)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Camat X membagikan amplop di balai desa",
        "nama saya tidak mau disebut",
        "nama saya jangan dibuka",
        "mohon nama saya dirahasiakan",
        "ada 12 orang pada 17/11/2024 jam 10.30",
        "uangnya Rp 100.000 per orang",
    ],
)
def test_what_is_no_identity_is_left_alone(words: str) -> None:
    """No alarm, no change."""
    assert find_identity(words) == ([], words)


@pytest.mark.parametrize("words", NASTY)
def test_odd_words_break_no_search_for_identities(words: str) -> None:
    """Nor do they take long."""
    kinds, without = find_identity(words)
    assert bool(kinds) == (without != words)
