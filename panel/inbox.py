"""The inbox: which tips there are, whose turn it is, and who works on what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from sqlalchemy import Connection

from panel.doors import audit, confirmed, factor_is_fresh, who
from panel.pages import PANEL, form_of, go, page
from storage import staff, views
from storage.cases import FOLDERS, Listed, OpenCase

PAGE = 50
BATCH = 10
FOUND_AT_MOST = 100
EXPORT_AT_MOST = 25
INDICATORS = ("karier", "partai", "kampanye", "pelayanan", "other")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reader looks for: a folder, filters on sealed facts, words."""

    folder: str
    number: int
    indicator: str
    region: str
    danger: bool
    photos: bool
    free: bool
    words: str

    @classmethod
    def of(cls, request: web.Request) -> Wanted:
        """Read from the address of the page."""
        return cls.read(request.query)

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Wanted:
        """Read from the fields of an address; what is not known falls back."""
        folder = query.get("map", "new")
        number = query.get("hal", "1")
        return cls(
            folder if folder in (*FOLDERS, "all") else "new",
            min(int(number), 10_000) if number.isdecimal() and int(number) else 1,
            query.get("indikator", "") if query.get("indikator") in INDICATORS else "",
            query.get("daerah", "").strip()[:60],
            query.get("terancam") == "1",
            query.get("foto") == "1",
            query.get("bebas") == "1",
            query.get("cari", "").strip()[:80],
        )

    @property
    def fits(self) -> Callable[[Listed | OpenCase], bool] | None:
        """A filter on opened heads, None when nothing sealed is asked for."""
        if not (self.indicator or self.region or self.danger or self.photos or self.free):
            return None
        region = self.region.casefold()

        def fit(listed: Listed | OpenCase) -> bool:
            head = listed.head
            return (
                (not self.indicator or head.get("indicator") == self.indicator)
                and (not region or region in str(head.get("region_name", "")).casefold())
                and (not self.danger or bool(head.get("danger")))
                and (not self.photos or bool(head.get("photos")))
                and (not self.free or listed.claimed_by is None)
            )

        return fit

    def address(self, **changed: object) -> str:
        """The address of this list with something changed."""
        values = {
            "map": self.folder,
            "indikator": self.indicator,
            "daerah": self.region,
            "terancam": "1" if self.danger else "",
            "foto": "1" if self.photos else "",
            "bebas": "1" if self.free else "",
            "cari": self.words,
            "hal": "" if self.number == 1 else str(self.number),
        } | {name: str(value) for name, value in changed.items()}
        return "/laporan?" + urlencode({name: value for name, value in values.items() if value})


async def inbox(request: web.Request) -> web.StreamResponse:
    """The tips of a folder, with filters and search; everything sealed is opened in memory alone."""
    panel, session, wanted = request.app[PANEL], who(request), Wanted.of(request)
    account = session.account

    def look(connection: Connection) -> tuple[Sequence[Listed | OpenCase], dict[str, int], dict[bytes, str], list[views.View]]:
        saved = views.of(connection, account.id, session.private_key)
        names = {known.id: known.name for known in staff.listed(connection)}
        counts = panel.cases.counts(connection, account.id)
        if wanted.words:
            found = _search(panel.cases.each(connection, account.id, session.private_key), wanted)
            return found, counts, names, saved
        rows = panel.cases.listed(
            connection,
            account.id,
            session.private_key,
            folder=wanted.folder,
            fits=wanted.fits,
            limit=PAGE + 1,
            offset=(wanted.number - 1) * PAGE,
        )
        return rows, counts, names, saved

    rows, counts, names, saved = await panel.store.read(look)
    if wanted.words:
        await audit(request, "searched", detail=str(len(rows)))
    return page(
        request,
        "inbox.html",
        rows=rows if wanted.words else rows[:PAGE],
        more=not wanted.words and len(rows) > PAGE,
        counts=counts,
        names=names,
        wanted=wanted,
        folders=(*FOLDERS, "all"),
        indicators=INDICATORS,
        today=panel.cases.today(),
        filtered=wanted.fits is not None,
        views=saved,
        here=wanted.address(hal=""),
        view_name_at_most=views.NAME_LENGTH,
        batch=BATCH,
        fresh=factor_is_fresh(request),
    )


def _search(cases: Iterator[OpenCase], wanted: Wanted) -> list[OpenCase]:
    """The tips that hold all the words, newest first."""
    parts, found = wanted.words.casefold().split(), []
    fits = wanted.fits
    for case in cases:
        if fits is not None and not fits(case):
            continue
        facts = " ".join(str(value) for value in case.tip.values())
        text = " ".join((case.alias, facts, *(entry.words for entry in case.entries))).casefold()
        if all(part in text for part in parts):
            found.append(case)
            if len(found) == FOUND_AT_MOST:
                break
    return found


async def save_view(request: web.Request) -> web.StreamResponse:
    """Save the list that is open under a name, for oneself."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    account, name = session.account, " ".join(form.get("name", "").split())[: views.NAME_LENGTH]
    here = Wanted.read(dict(parse_qsl(form.get("here", "").partition("?")[2]))).address(hal="")
    if not name:
        raise go("/laporan", "view_unnamed", **dict(parse_qsl(here.partition("?")[2])))
    kept = await panel.store.write(lambda connection: views.keep(connection, account.id, account.public_key, name, here))
    raise go("/laporan", "view_saved" if kept else "views_full", **dict(parse_qsl(here.partition("?")[2])))


async def drop_view(request: web.Request) -> web.StreamResponse:
    """Delete one of one's own saved views."""
    panel, account = request.app[PANEL], who(request).account
    try:
        name = bytes.fromhex(request.match_info["view"])
    except ValueError as error:
        raise web.HTTPNotFound from error
    if not await panel.store.write(lambda connection: views.drop(connection, account.id, name)):
        raise web.HTTPNotFound
    raise go("/laporan", "view_dropped")


async def take_batch(request: web.Request) -> web.StreamResponse:
    """Take the oldest new tips that nobody works on."""
    panel, account = request.app[PANEL], who(request).account

    def take(connection: Connection) -> int:
        taken = panel.cases.claim_next(connection, account.id, BATCH)
        for case in taken:
            panel.audit.add(connection, account.name, "claimed", case.hex(), "batch")
        return len(taken)

    taken = await panel.store.write(take)
    raise go("/laporan", "batch_taken" if taken else "batch_empty", map="mine" if taken else "new")


async def ask_export(request: web.Request) -> web.StreamResponse:
    """Ask a second person to agree to the export of several tips."""
    panel, session = request.app[PANEL], who(request)
    chosen = [str(value) for value in (await request.post()).getall("case", [])][:EXPORT_AT_MOST]
    try:
        names = [bytes.fromhex(name) for name in chosen]
    except ValueError as error:
        raise web.HTTPNotFound from error
    if not names:
        raise go("/laporan", "none_chosen")
    if not await confirmed(request):
        raise go("/laporan", "wrong_code")

    def ask(connection: Connection) -> None:
        for name in names:
            if panel.cases.by_seal(connection, session.account.id, session.private_key, name) is None:
                raise web.HTTPNotFound
        approval = panel.staff.ask_approval(connection, "export", [name.hex() for name in names], session.account)
        panel.audit.add(connection, session.account.name, "export_asked", approval.hex(), str(len(names)))

    await panel.store.write(ask)
    raise go("/persetujuan", "export_asked")
