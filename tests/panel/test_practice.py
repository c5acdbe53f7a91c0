"""The practice page, the exports, and what nobody may work out of either."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel.exports import Sheet, as_csv, as_pdf, as_xlsx, harmless
from panel.statistics import reached
from storage.counts import Counts
from storage.practice import Given, Practice
from storage.statistics import SMALLEST_SHOWN, suppressed_table, suppressed_within
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]
DAY = dt.date(2026, 11, 3)
TABLES = st.dictionaries(
    st.sampled_from("abcdef"), st.dictionaries(st.sampled_from("uvwxyz"), st.integers(1, 30), min_size=1, max_size=6), max_size=6
)


@given(TABLES, st.sets(st.sampled_from("abcdef"), max_size=2))
def test_no_small_number_of_a_table_can_be_worked_out(rows: dict[str, dict[str, int]], whole: set[str]) -> None:
    """With the sums of all rows and columns known, what is hidden in one is several numbers that sum to the floor, or all of it."""
    shown = suppressed_table(rows, whole)
    columns = {of for cells in rows.values() for of in cells}
    lines = [[(row, of) for of in cells] for row, cells in rows.items() if row not in whole]
    lines += [[(row, of) for row, cells in rows.items() if of in cells] for of in columns]
    for row, cells in rows.items():
        for of, number in cells.items():
            assert shown[row][of] in (None, number)
            assert number >= SMALLEST_SHOWN or shown[row][of] is None
            assert row not in whole or shown[row][of] is None
    for line in lines:
        hidden = [(row, of) for row, of in line if shown[row][of] is None]
        if hidden and len(hidden) < len(line):
            assert len(hidden) >= 2 and sum(rows[row][of] for row, of in hidden) >= SMALLEST_SHOWN


@given(st.dictionaries(st.tuples(st.sampled_from("123"), st.sampled_from("abcd")).map("".join), st.integers(1, 30), max_size=12))
def test_no_part_can_be_worked_out_of_its_whole(parts: dict[str, int]) -> None:
    """A regency is hidden with its province, and never alone."""
    wholes = {one: sum(number for part, number in parts.items() if part[0] == one) for one in "12"}
    cells = {cell.name: cell.number for cell in suppressed_within(parts, wholes, lambda part: part[0])}
    assert set(cells) == set(parts)
    assert all(number is None for part, number in cells.items() if part[0] == "3")
    for one in "12":
        inside = [part for part in parts if part[0] == one]
        hidden = [part for part in inside if cells[part] is None]
        if hidden and len(hidden) < len(inside):
            assert len(hidden) >= 2 and sum(parts[part] for part in hidden) >= SMALLEST_SHOWN


def test_the_practice_page_shows_what_people_get_wrong_most(house: House, browser: Open) -> None:
    """Topics weakest first, pledges by region, small numbers hidden; nothing at all before anybody has practised."""
    house.account("rina", "reviewer")
    staff = browser(house)
    staff.login("rina")
    assert "Belum ada kuis" in staff.get("/latihan").text
    practice = Practice(Counts())
    wrong, right = Given("sosmed", "sosmed.like-postingan", False), Given("uang", "uang.donasi-kampanye", True)
    for role, region, times, cards in (
        ("guru", "18.07", 30, (wrong, right)),
        ("pegawai", "32.73", 20, (right,)),
        ("warga", "19", 2, (wrong,)),
    ):
        for _ in range(times):
            house.store.write_now(partial(practice.finished, day=DAY, given=cards, role=role, region=region))
    for region, times in (("18.07", 12), ("18.72", 9), ("32.73", 40), ("33.74", 6), ("31.71", 3)):
        for _ in range(times):
            house.store.write_now(partial(practice.agreed, day=DAY, version="2026-1", role="guru", region=region))
    page = staff.get("/latihan")
    text = page.text
    assert page.status == 200 and "Media sosial" in text and "100 %" in text and "<svg" in text
    assert text.index("Media sosial") < text.index("Uang dan usaha")
    assert "Lampung Timur" in text and "disembunyikan" in text
    assert ">2<" not in text and ">3<" not in text


@pytest.mark.parametrize("words", ["=1+1", "+62", "-2", "@SUM(A1)", "\tx", "\r=1", " =1", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(words: str) -> None:
    """What begins like a formula is text in every export."""
    assert harmless(words) == f"'{words}"
    sheet = Sheet(words, [words], [[words, 3]])
    assert as_csv(sheet).decode("utf-8-sig").lstrip('"').startswith("'")
    book = zipfile.ZipFile(io.BytesIO(as_xlsx([sheet, sheet])))
    pages = [book.read(name).decode() for name in book.namelist() if name.startswith("xl/worksheets/")]
    assert len(pages) == 2 and not any("<f>" in page for page in pages) and "hyperlink" not in "".join(pages)
    assert as_pdf("<b>judul</b> & lain", ["<i>"], [Sheet("<x>", ["&"], [["<para>", 1]])]).startswith(b"%PDF-")


def test_long_tables_go_on_over_pages() -> None:
    """A PDF holds every row."""
    paper = as_pdf("Statistik", [], [Sheet("Daerah", ["Daerah", "Dilaporkan"], [[f"Kabupaten {number}", number] for number in range(300)])])
    assert paper.count(b"/Type /Page\n") >= 5


@pytest.mark.parametrize(("waits", "half", "most"), [((), None, None), ((4,), 4, 4), ((1, 2, 3), 2, 3), (tuple(range(1, 11)), 5, 9)])
def test_how_long_people_waited(waits: tuple[int, ...], half: int | None, most: int | None) -> None:
    """The median and what nine of ten did not exceed are days that somebody waited."""
    assert (reached(waits, 0.5), reached(waits, 0.9)) == (half, most)


def test_the_first_answer_is_timed_and_the_tables_are_downloaded(house: House, browser: Open) -> None:
    """Days to the first answer are kept apart from the tip; every export holds the figures and is on record."""
    house.account("rina", "reviewer")
    case, _ = house.tip()
    staff = browser(house)
    staff.login("rina")
    house.clock.forward(days=2)
    house.store.write_now(lambda connection: Counts().add(connection, DAY, "asked.sosmed.like-postingan", 7))
    house.store.write_now(lambda connection: Counts().add(connection, DAY, "self_check.answer", 7))
    staff.login("rina")
    for words in ("Terima kasih, kami periksa.", "Satu hal lagi."):
        staff.get(f"/laporan/{case.hex()}")
        assert staff.post(f"/laporan/{case.hex()}/tulis", {"audience": "tipster", "words": words}).status == 200
        house.clock.forward(minutes=10)
    assert house.cases.statistics is not None
    assert [tip.waited for tip in house.store.read_now(house.cases.statistics.all)] == [2]
    text = staff.get("/statistik").text
    assert "2 hari" in text and "Media sosial" in text
    book = zipfile.ZipFile(io.BytesIO(staff.request("GET", "/statistik.xlsx").body))
    assert "Kabupaten Lampung Timur" in book.read("xl/sharedStrings.xml").decode()
    assert staff.request("GET", "/statistik.pdf").body.startswith(b"%PDF-")
    assert staff.request("GET", "/statistik.csv").status == 200
    assert sorted(act.detail for act in house.acts("statistics_exported")) == ["csv", "pdf", "xlsx"]
