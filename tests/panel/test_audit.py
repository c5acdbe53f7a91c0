"""The audit log: whole, or it says where it is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from storage.audit import AuditLog, Head
from storage.models import Audit, AuditHead
from tests.panel.conftest import Browser, House

Open = Callable[[House], Browser]


@pytest.fixture
def filled(house: House) -> House:
    """A log of three days, nine rows."""
    for day in range(3):
        for number in range(3):
            house.store.write_now(partial(house.audit.add, actor="rina", action="case_opened", subject=f"{number:032x}"))
        if day < 2:
            house.clock.forward(days=1)
    return house


def verify(house: House, *published: Head) -> tuple[str, int]:
    """The fault that is found and where."""
    result = house.store.read_now(lambda connection: house.audit.verify(connection, published))
    return result.fault, result.at


def change(house: House, *statements: Any) -> None:
    """Do what somebody with the database would."""
    house.store.write_now(lambda connection: [connection.execute(statement) for statement in statements])


def test_an_untouched_log_is_whole(filled: House) -> None:
    """Rows fit, and each day's end was signed when the next began."""
    result = filled.store.read_now(filled.audit.verify)
    assert (result.whole, result.rows, result.heads) == (True, 9, 2)


@pytest.mark.parametrize(
    ("column", "value"), [("actor", "budi"), ("action", "nothing"), ("subject", "x"), ("detail", "x"), ("day", dt.date(2026, 1, 1))]
)
def test_an_edited_row_is_found(filled: House, column: str, value: object) -> None:
    """Whatever is changed in a row, the check names the row."""
    change(filled, update(Audit).where(Audit.id == 5).values({column: value}))
    assert verify(filled) == ("changed", 5)


def test_a_removed_and_an_inserted_row_are_found(filled: House) -> None:
    """A row that is gone leaves a gap; one that was put in does not fit."""
    change(filled, delete(Audit).where(Audit.id == 4))
    assert verify(filled) == ("missing", 4)
    change(filled, insert(Audit).values(id=4, day=dt.date(2026, 11, 21), actor="rina", action="x", subject="", detail="", link=bytes(32)))
    assert verify(filled) == ("changed", 4)


def test_a_cut_tail_is_found_by_a_head(filled: House) -> None:
    """Rows cut off behind a signed head are missed; rows and heads cut together are missed by a head kept outside."""
    head = filled.store.write_now(filled.audit.head)
    assert head is not None
    printed = Head.parse(head.text)
    assert verify(filled, printed) == ("", 0)
    change(filled, delete(Audit).where(Audit.id > 7))
    assert verify(filled)[0] == "cut"
    change(filled, delete(AuditHead).where(AuditHead.entry > 7))
    assert verify(filled) == ("", 0)
    assert verify(filled, printed) == ("cut", 9)


def test_a_rewritten_chain_is_found_by_a_head(filled: House) -> None:
    """Whoever rewrites the whole chain with the right hashes still fails the signed heads."""
    acts = list(reversed(filled.acts()))

    def rewrite(connection: Any) -> None:
        heads = filled.audit.heads(connection)
        connection.execute(delete(Audit))
        connection.execute(delete(AuditHead))
        for act in acts:
            filled.audit.add(connection, "somebody else", act.action, act.subject)
        connection.execute(delete(AuditHead))
        for head in heads:
            connection.execute(insert(AuditHead).values(day=head.day, entry=head.entry, link=head.link, signature=head.signature))

    filled.store.write_now(rewrite)
    assert verify(filled)[0] == "head"


def test_a_head_signed_by_another_key_does_not_count(filled: House) -> None:
    """A head has to carry our signature."""
    forger = AuditLog(bytes(range(32)), filled.clock)
    filled.store.write_now(forger.head)
    assert verify(filled)[0] == "signature"


def test_old_rows_go_up_to_a_signed_head_and_the_rest_stays_checkable(filled: House) -> None:
    """After the retention schedule has removed old days, the chain is checked from the head that stayed."""
    assert filled.store.write_now(lambda connection: filled.audit.prune(connection, dt.date(2026, 11, 22))) == 6
    result = filled.store.read_now(filled.audit.verify)
    assert (result.whole, result.rows) == (True, 3)
    change(filled, delete(AuditHead))
    assert verify(filled) == ("missing", 6)


@pytest.mark.parametrize(
    "line", ["", "netra-audit", "other 2026-11-20 1 00 00", "netra-audit today 1 00 00", "netra-audit 2026-11-20 x 00 00"]
)
def test_a_line_that_is_no_head_is_refused(line: str) -> None:
    """Only our own printed lines are read."""
    with pytest.raises(ValueError):
        Head.parse(line)


def test_the_auditor_reads_filters_and_seals(house: House, browser: Open) -> None:
    """The page shows the rows, says that the chain holds or where it breaks, filters, and prints a head; tips stay closed."""
    house.account("maya", "auditor")
    house.account("rina", "reviewer")
    case, _ = house.tip()
    maya = browser(house)
    maya.login("maya")
    assert "Rantai utuh" in maya.get("/audit").text
    assert "membuka laporan" not in maya.get("/audit?actor=maya").text
    page = maya.get("/audit/laporan")
    assert "Tim pusat" in page.text and "Lampung" not in page.text and "Kepala dinas" not in page.text
    assert maya.get(f"/laporan/{case.hex()}").status == 403
    maya.get("/audit")
    printed = maya.post("/audit/segel").text
    assert "netra-audit 2026-11-20" in printed
    change(house, update(Audit).where(Audit.id == 1).values(actor="budi"))
    assert "Baris 1 berubah" in maya.get("/audit").text
    assert maya.get("/audit?since=nonsense&until=2026-99-99&before=x&actor=%27%3B--").status == 200
