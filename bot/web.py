"""The aiohttp application of the public listener: landing, privacy, statistics, health, and the channels' routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from bot.channels import Channel
from bot.health import Report
from bot.messages import Span
from bot.templates import Pages
from bot.texts import Texts

STATIC = Path(__file__).with_name("static")
BODY_BYTES = 1 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A small table of counts for the public page."""

    title: str
    first: str
    rows: Sequence[tuple[str, str]]


def page_words(texts: Texts) -> dict[str, dict[str, str]]:
    """The words of the pages, by language."""
    names = [name for name in texts.names("id") if name.startswith("web.")]
    return {language: {name.removeprefix("web."): texts.plain(language, name) for name in names} for language in ("id", "en")}


def application(
    channels: Iterable[Channel],
    pages: Pages,
    texts: Texts,
    *,
    links: Sequence[Mapping[str, str]],
    ready: Callable[[], Awaitable[Report]],
    statistics: Callable[[str], Awaitable[Sequence[Table]]],
    notices: Callable[[], Awaitable[Sequence[str]]],
    more: Sequence[web.RouteDef] = (),
) -> web.Application:
    """The public application. Bodies are limited to 1 MiB, except where the web chat streams photos itself."""
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[_headers])
    words = page_words(texts)

    def language(request: web.Request) -> str:
        return "en" if request.headers.get("Accept-Language", "id").lower().startswith("en") else "id"

    def html(request: web.Request, template: str, **facts: object) -> web.Response:
        chosen = language(request)
        text = pages.get_template(template).render(words=words[chosen], language=chosen, **facts)
        return web.Response(text=text, content_type="text/html")

    async def landing(request: web.Request) -> web.Response:
        return html(request, "landing.html", links=links)

    async def privacy(request: web.Request) -> web.Response:
        chosen = language(request)
        paragraphs: list[Sequence[Span]] = [texts.spans(chosen, f"privacy.{name}") for name in ("promise", "limits", "traces")]
        return html(request, "text.html", title=words[chosen]["privacy"], paragraphs=paragraphs)

    async def figures(request: web.Request) -> web.Response:
        return html(request, "statistics.html", tables=await statistics(language(request)))

    async def news(request: web.Request) -> web.Response:
        return html(request, "news.html", aliases=await notices())

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        report = await ready()
        return web.json_response(report.to_json(), status=200 if report.serves else 503)

    app.add_routes(
        [
            web.get("/", landing),
            web.get("/privasi", privacy),
            web.get("/statistik", figures),
            web.get("/kabar", news),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.static("/static", STATIC),
        ]
    )
    app.add_routes(more)
    for channel in channels:
        app.add_routes(channel.routes())
    return app


@web.middleware
async def _headers(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise web.HTTPUnsupportedMediaType
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    except ConnectionError:  # half a request, and nobody left to answer: not a fault of ours, and no line in the log
        return web.Response(status=400)
    response.headers.update(HEADERS)
    if request.path.startswith(("/static/", "/kartu/")):
        response.headers["Cache-Control"] = "public, max-age=3600"
    return response
