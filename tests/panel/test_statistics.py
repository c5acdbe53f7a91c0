"""Figures: what is counted, what stays hidden."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from storage.counts import Counts
from storage.statistics import SMALLEST_SHOWN, suppressed
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]


@given(st.dictionaries(st.text(max_size=3), st.integers(min_value=1, max_value=40), max_size=12))
def test_no_small_number_can_be_worked_out(counts: dict[str, int]) -> None:
    """With the total known, the hidden cells are several and sum to at least the floor, or everything is hidden."""
    total = sum(counts.values())
    cells = suppressed(counts, total if total >= SMALLEST_SHOWN else None)
    shown = {cell.name: cell.number for cell in cells if cell.number is not None}
    hidden = [cell.name for cell in cells if cell.number is None]
    assert {cell.name for cell in cells} == set(counts)
    assert all(number >= SMALLEST_SHOWN and number == counts[name] for name, number in shown.items())
    if hidden and shown:
        assert len(hidden) >= 2 and total - sum(shown.values()) >= SMALLEST_SHOWN


def test_figures_stay_when_the_tip_is_gone(house: House, browser: Open) -> None:
    """A tip is counted on arrival, its outcome later, and both outlive the tip; the row on disk says nothing."""
    house.account("rina", "reviewer")
    _, receipt = house.tip()
    for _ in range(5):
        house.tip(region="18.71", kind="bansos", indicator="pelayanan", when="2024-11-26")
    house.store.write_now(lambda connection: house.cases.withdraw(connection, receipt))
    statistics = house.cases.statistics
    assert statistics is not None
    counted = house.store.read_now(statistics.all)
    assert sorted(tip.outcome for tip in counted) == ["open"] * 5 + ["withdrawn"]
    assert {tip.stage for tip in counted if tip.kind == "bansos"} == {"masa-tenang"}
    public = house.store.read_now(statistics.public)
    assert public.total == 6
    assert all(cell.number is None or cell.number >= SMALLEST_SHOWN for cell in (*public.by_indicator, *public.by_outcome))
    staff = browser(house)
    staff.login("rina")
    page = staff.get("/statistik")
    assert page.status == 200 and "Bantuan sosial" in page.text and "<svg" in page.text
    answer = staff.request("GET", "/statistik.csv")
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert rows[0][:2] == ["Bulan", "Daerah"] and sum(int(row[5]) for row in rows[1:]) == 6


def test_the_desk_shows_what_the_bot_would_say(build: Callable[..., House], browser: Open) -> None:
    """A question is answered as the bot would, and what found no answer is listed until it is read."""
    from faq.match import Faq

    house = build(faq=Faq.load())
    house.account("boss", "admin")
    day, words = dt.date(2026, 11, 20), "<b>boleh ga?</b> \u202e"
    house.store.write_now(lambda connection: Counts().keep_unanswered(connection, day, words, ["umum.x"]))
    staff = browser(house)
    staff.login("boss")
    page = staff.get("/faq?t=bole+ga+sy+like+postingan+cabup")
    assert "Kandidat" in page.text and "dilarang" in page.text
    assert staff.get("/faq?t=" + "%F0%9F%98%80" * 40 + "&tanggal=x").status == 200
    assert "&lt;b&gt;boleh ga?" in page.text and "\u202e" not in page.text
    name = page.text.split('name="question" value="')[1].split('"')[0]
    page = staff.post("/faq/selesai", {"question": name})
    assert "boleh ga?" not in page.text
    assert staff.post("/faq/selesai", {"question": name}, follow=False).status == 404
    assert staff.post("/faq/selesai", {"question": "zz"}, follow=False).status == 404


def test_the_case_page_names_the_rules_that_may_apply(build: Callable[..., House], browser: Open) -> None:
    """The nearest entries stand beside a tip with their basis and the sanction of the day of the deed."""
    from faq.match import Faq

    house = build(faq=Faq.load())
    house.account("rina", "reviewer")
    case, _ = house.tip(what="Kepala dinas like dan share postingan calon bupati di facebook", when="2024-10-10")
    staff = browser(house)
    staff.login("rina")
    text = staff.get(f"/laporan/{case.hex()}").text
    assert "Dasar hukum" in text and "SKB 5 Lembaga 2022" in text
