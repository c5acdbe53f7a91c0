"""One tip, from arrival to a recorded outcome."""

from __future__ import annotations

from collections.abc import Callable

from tests.panel.conftest import Browser, House, picture


def test_a_tip_is_listed_opened_and_answered(build: Callable[..., House], browser: Callable[[House], Browser]) -> None:
    """A receiver finds a tip, reads it with its photo and answers; the tipster reads the answer with the code."""
    house = build(practice=True)
    house.account("admin", "reviewer verifier admin auditor")
    case, receipt = house.tip(photos=(picture(),))
    staff = browser(house)
    assert staff.login("admin", factor=False).status == 200
    page = staff.get("/laporan")
    assert "Lampung Timur" in page.text
    page = staff.get(f"/laporan/{case.hex()}")
    assert page.status == 200, page.text
    assert "Kepala dinas menyukai" in page.text
    image = page.text.split('/foto/')[1].split('"')[0]
    photo = staff.request("GET", f"/laporan/{case.hex()}/foto/{image}")
    assert photo.headers["Content-Type"] == "image/jpeg" and photo.body.startswith(b"\xff\xd8")
    page = staff.post(f"/laporan/{case.hex()}/tulis", {"audience": "tipster", "words": "Terima kasih, kami pelajari."})
    assert page.status == 200 and "Jawaban terkirim" in page.text
    opened = house.store.read_now(lambda connection: house.cases.by_receipt(connection, receipt))
    assert opened is not None
    assert [entry.words for entry in opened.entries if entry.kind == "team"] == ["Terima kasih, kami pelajari."]
