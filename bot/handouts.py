"""What anybody may fetch from the public listener: a document that waits, the check of a certificate or pledge, a poster, a picture."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from bot.documents import Documents
from bot.downloads import Downloads
from bot.templates import Pages
from bot.texts import Texts
from faq.entries import Entry
from faq.pledge import Pledges
from storage.practice import Certificates, Practice

CARDS_KEPT = 128
"""Pictures in memory, about 40 KB each."""

OFFICE_AT_MOST, CODE_AT_MOST = 80, 40
QR_SCALE = 8


@dataclass(frozen=True, slots=True)
class Papers:
    """What quiz and pledge work with, and what people can take away from them."""

    practice: Practice
    certificates: Certificates
    downloads: Downloads
    documents: Documents
    pledges: Pledges
    public_url: str


@dataclass(slots=True)
class Handouts:
    """Routes `/unduh`, `/verifikasi`, `/poster` and `/kartu`."""

    papers: Papers
    entries: Mapping[str, Entry]
    texts: Texts
    pages: Pages
    words: Mapping[str, Mapping[str, str]]
    _cards: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)

    def routes(self) -> Sequence[web.RouteDef]:
        """The routes for the public application."""
        return [
            web.get("/unduh/{token}", self.offered),
            web.post("/unduh/{token}", self.fetched),
            web.get("/verifikasi", self.verified),
            web.get("/poster", self.poster),
            web.get("/kartu/{entry}.png", self.card),
        ]

    # --- documents that wait ------------------------------------------------------------------------------------------------------

    async def offered(self, request: web.Request) -> web.Response:
        """A page with the button that fetches the document; looking at it uses nothing up."""
        waiting = self.papers.downloads.known(request.match_info["token"])
        return self._page(request, "download.html", status=200 if waiting else 404, filename=waiting.filename if waiting else "")

    async def fetched(self, request: web.Request) -> web.Response:
        """The document itself, once."""
        waiting = self.papers.downloads.take(request.match_info["token"])
        if waiting is None:
            return self._page(request, "download.html", status=404, filename="")
        body = await asyncio.to_thread(waiting.make)
        return web.Response(
            body=body, content_type=waiting.kind, headers={"Content-Disposition": f'attachment; filename="{waiting.filename}"'}
        )

    # --- verification -------------------------------------------------------------------------------------------------------------

    async def verified(self, request: web.Request) -> web.Response:
        """What a certificate's code or a pledge's mark proves; without either, a form to type the code."""
        code, version = request.query.get("kode", "")[:CODE_AT_MOST], request.query.get("pakta", "")[:CODE_AT_MOST]
        language = _language(request)
        said, good, points = "", False, []
        if version:
            pledge = self.papers.pledges.verify(version, request.query.get("tanda", "")[:CODE_AT_MOST])
            good = pledge is not None
            if pledge is not None:
                state = "pledge_current" if pledge is self.papers.pledges.current else "pledge_earlier"
                said = self._said(language, state, version=pledge.version, day=f"{pledge.since:%d/%m/%Y}")
                points = [point.text_en if language == "en" else point.text for point in pledge.points]
            else:
                said = self._said(language, "pledge_unknown")
        elif code:
            score = self.papers.certificates.read(code)
            good = score is not None
            said = (
                self._said(language, "score", day=f"{score.day:%d/%m/%Y}", right=score.right, of=score.of)
                if score
                else self._said(language, "score_unknown")
            )
        return self._page(request, "verify.html", said=said, good=good, code=code, points=points)

    # --- poster ---------------------------------------------------------------------------------------------------------------------

    async def poster(self, request: web.Request) -> web.Response:
        """A poster for an office, to be printed: what the bot does, and a QR code to it."""
        import segno

        office = " ".join(request.query.get("kantor", "").split())[:OFFICE_AT_MOST]
        address = self.papers.public_url.rstrip("/") or f"{request.scheme}://{request.host}"
        code = segno.make(address, error="q", micro=False)
        qr = code.svg_inline(scale=QR_SCALE, border=2, omitsize=True, svgclass="qr", lineclass=None)
        return self._page(request, "poster.html", office=office, address=address.split("://")[-1], qr=qr)

    # --- pictures -------------------------------------------------------------------------------------------------------------------

    async def card(self, request: web.Request) -> web.Response:
        """An answer as a picture; English with `?bahasa=en`."""
        entry = self.entries.get(request.match_info["entry"])
        if entry is None:
            raise web.HTTPNotFound
        key = (entry.id, "en" if request.query.get("bahasa") == "en" else "id")
        picture = self._cards.get(key)
        if picture is None:
            picture = await asyncio.to_thread(self.papers.documents.card, key[1], entry)
            self._cards[key] = picture
            if len(self._cards) > CARDS_KEPT:
                self._cards.popitem(last=False)
        return web.Response(body=picture, content_type="image/png")

    # --- inside -----------------------------------------------------------------------------------------------------------------------

    def _said(self, language: str, name: str, **facts: object) -> str:
        return self.texts.plain(language, f"verify.{name}", facts)

    def _page(self, request: web.Request, template: str, *, status: int = 200, **facts: object) -> web.Response:
        language = _language(request)
        text = self.pages.get_template(template).render(words=self.words[language], language=language, **facts)
        return web.Response(text=text, content_type="text/html", status=status)


def _language(request: web.Request) -> str:
    return "en" if request.headers.get("Accept-Language", "id").lower().startswith("en") else "id"
