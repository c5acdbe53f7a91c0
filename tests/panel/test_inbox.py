"""The inbox: saved views, records that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from storage import views
from storage.models import SavedView
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]
HERE = "/laporan?map=all&daerah=Lampung&terancam=1&cari=beras+rahasia"


@pytest.fixture
def staff(house: House, browser: Open) -> Browser:
    """A reviewer, signed in."""
    house.account("rina", "reviewer")
    person = browser(house)
    person.login("rina")
    return person


def test_a_view_is_saved_opened_and_deleted(house: House, staff: Browser, browser: Open) -> None:
    """A filtered list gets a name, comes back with one click, belongs to its owner alone, and goes when it is not wanted."""
    assert "Simpan daftar ini" not in staff.get("/laporan").text
    staff.get(HERE)
    page = staff.post("/laporan/tampilan", {"name": "  <b>Beras</b>  di   Lampung ", "here": HERE})
    assert "Tampilan disimpan" in page.text and "&lt;b&gt;Beras&lt;/b&gt; di Lampung" in page.text
    link = re.search(r'href="(/laporan\?[^"]*rahasia[^"]*)"', page.text)
    assert link is not None and staff.get(link[1].replace("&amp;", "&")).status == 200
    name = re.search(r"/laporan/tampilan/(\w{32})/hapus", page.text)
    assert name is not None
    house.account("budi", "reviewer")
    other = browser(house)
    other.login("budi")
    assert "Tampilan saya" not in other.get("/laporan").text
    assert other.post(f"/laporan/tampilan/{name[1]}/hapus", follow=False).status == 404
    staff.get("/laporan")
    assert "Tampilan dihapus" in staff.post(f"/laporan/tampilan/{name[1]}/hapus").text
    assert "Tampilan saya" not in staff.get("/laporan").text


def test_a_view_without_a_name_or_with_a_strange_address_does_no_harm(house: House, staff: Browser) -> None:
    """Only what the inbox itself understands is kept, and only under a name; twenty are enough."""
    staff.get(HERE)
    assert "Beri nama" in staff.post("/laporan/tampilan", {"name": "  ", "here": HERE}).text
    staff.post("/laporan/tampilan", {"name": "x", "here": "https://evil.example/?map=all&x=1&pesan=taken"})
    assert 'href="/laporan?map=all"' in staff.page.text and "evil" not in staff.page.text
    for number in range(views.AT_MOST):
        staff.get("/laporan")
        staff.post("/laporan/tampilan", {"name": f"nomor {number}", "here": "/laporan?map=new"})
    assert "sudah punya 20" in staff.page.text
    for path in ("/laporan/tampilan/zz/hapus", f"/laporan/tampilan/{'0' * 32}/hapus"):
        assert staff.post(path, follow=False).status == 404


def test_a_view_says_nothing_on_disk(house: House, staff: Browser) -> None:
    """Its name and its words are sealed to its owner, all of one length, and go with the account."""
    staff.get(HERE)
    staff.post("/laporan/tampilan", {"name": "Beras Istimewa", "here": HERE})
    staff.post("/laporan/tampilan", {"name": "b", "here": "/laporan?map=mine"})
    rows = house.store.read_now(lambda connection: connection.execute(SavedView.__table__.select()).all())
    assert len(rows) == 2 and len({len(row.body) for row in rows}) == 1
    folder = Path(house.store.url.removeprefix("sqlite:///")).parent
    raw = b"".join(path.read_bytes() for path in folder.glob("netra.db*"))
    assert b"Istimewa" not in raw and b"rahasia" not in raw
    account = house.store.read_now(partial(house.staff.find, name="rina"))
    assert account is not None
    assert house.store.read_now(lambda connection: views.of(connection, account.id, b"")) == []
    assert house.store.read_now(lambda connection: views.of(connection, account.id, bytes(range(32)))) == []
    for name in ("budi", "tono"):
        house.account(name, "reviewer")
    house.store.write_now(lambda connection: house.staff.remove(connection, account.id))
    assert house.store.read_now(lambda connection: connection.execute(SavedView.__table__.select()).all()) == []
