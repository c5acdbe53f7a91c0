"""The staff's web pages: from a tip to a recorded outcome, on a listener of their own."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from panel import audit, broadcasts, case, doors, faq_desk, handover, inbox, keys, practice, statistics, team
from panel.doors import ANYBODY, EVERYONE, GATE, HALF, TABLE, Gate, Route, Throttle
from panel.pages import PANEL, Panel
from storage.staff import READING, ROLES

__all__ = ["ROUTES", "Panel", "application"]

FORM_AT_MOST = 256 * 1024
"""Bytes of a posted form: a few texts of 3,000 characters, never a file."""

STATIC = {
    "panel.css": "text/css",
    "panel.js": "text/javascript",
    "keys.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


async def static(request: web.Request) -> web.StreamResponse:
    """One of the panel's own few files."""
    name = request.match_info["name"]
    if name not in STATIC:
        raise web.HTTPNotFound
    return web.Response(body=(Path(__file__).parent / "static" / name).read_bytes(), content_type=STATIC[name], charset="utf-8")


async def metrics(request: web.Request) -> web.StreamResponse:
    """Counters for the operator's monitoring; numbers, never content."""
    render = request.app[PANEL].metrics
    if render is None:
        raise web.HTTPNotFound
    return web.Response(body=render(), content_type="text/plain", charset="utf-8")


ADMIN, AUDITOR = frozenset({"admin"}), frozenset({"auditor"})
FIGURES = READING | {"auditor", "admin"}
TEAM = frozenset(ROLES)
DESK = READING | {"admin", "broadcaster", "approver"}

ROUTES = (
    Route("GET", "/static/{name}", static, ANYBODY),
    Route("GET", "/metrics", metrics, ANYBODY),
    Route("GET", "/masuk", doors.login_page, ANYBODY),
    Route("POST", "/masuk", doors.login, ANYBODY),
    Route("GET", "/undangan/{token}", doors.invitation_page, ANYBODY),
    Route("POST", "/undangan/{token}", doors.invitation, ANYBODY),
    Route("POST", "/bahasa", doors.language, ANYBODY),
    Route("POST", "/keluar", doors.logout, ANYBODY),
    Route("GET", "/masuk/kode", doors.code_page, HALF),
    Route("POST", "/masuk/kode", doors.code, HALF),
    Route("GET", "/masuk/pengaman", doors.factor_page, HALF),
    Route("POST", "/masuk/pengaman", doors.factor, HALF),
    Route("POST", "/masuk/pengaman/nanti", doors.factor_later, HALF),
    Route("GET", "/masuk/pengaman.svg", doors.factor_picture, HALF),
    Route("GET", "/masuk/kunci", keys.key_page, HALF),
    Route("POST", "/masuk/kunci", keys.key, HALF),
    Route("GET", "/masuk/kunci/baru", keys.first_page, HALF),
    Route("POST", "/masuk/kunci/baru", keys.first, HALF),
    Route("GET", "/", doors.start, EVERYONE),
    Route("GET", "/saya", doors.me, EVERYONE),
    Route("POST", "/saya/sesi", doors.end_session, EVERYONE),
    Route("POST", "/saya/sandi", doors.passphrase, EVERYONE),
    Route("GET", "/saya/kunci", keys.add_page, EVERYONE),
    Route("POST", "/saya/kunci", keys.add, EVERYONE),
    Route("POST", "/saya/kunci/lagi", keys.again, EVERYONE),
    Route("POST", "/saya/kunci/hapus", keys.remove, EVERYONE),
    Route("GET", "/laporan", inbox.inbox, READING),
    Route("POST", "/laporan/ambil", inbox.take_batch, READING),
    Route("POST", "/laporan/tampilan", inbox.save_view, READING),
    Route("POST", "/laporan/tampilan/{view}/hapus", inbox.drop_view, READING),
    Route("GET", "/laporan/{case}", case.show, READING),
    Route("GET", "/laporan/{case}/foto/{photo}", case.photo, READING),
    Route("GET", "/laporan/{case}/lihat/{photo}", case.viewer, READING),
    Route("POST", "/laporan/{case}/tulis", case.write, READING),
    Route("POST", "/laporan/{case}/ambil", case.claim, READING),
    Route("POST", "/laporan/{case}/lepas", case.release, READING),
    Route("POST", "/laporan/{case}/periksa", case.check, READING),
    Route("POST", "/laporan/{case}/hasil", case.decide, READING),
    Route("POST", "/laporan/{case}/tutup", case.close, READING),
    Route("POST", "/laporan/{case}/buka", case.reopen, READING),
    Route("GET", "/laporan/{case}/serupa", case.similar_page, READING),
    Route("POST", "/laporan/{case}/gabung", case.join, READING),
    Route("POST", "/laporan/{case}/pisah", case.part, READING),
    Route("GET", "/laporan/{case}/serahkan", handover.handover_page, READING),
    Route("POST", "/laporan/{case}/serahkan", handover.handover, READING),
    Route("POST", "/laporan/{case}/amplop", case.envelope, READING),
    Route("POST", "/laporan/{case}/bisukan", case.mute, READING),
    Route("POST", "/laporan/{case}/tahan", case.ask_hold, frozenset({"verifier"})),
    Route("POST", "/laporan/{case}/asli/{photo}", case.ask_original, frozenset({"verifier"})),
    Route("POST", "/laporan/ekspor", inbox.ask_export, frozenset({"verifier"})),
    Route("GET", "/persetujuan", handover.approvals, frozenset({"verifier", "auditor"})),
    Route("POST", "/persetujuan/{approval}/setuju", handover.agree, frozenset({"verifier", "auditor"})),
    Route("POST", "/persetujuan/{approval}/pakai", handover.use, frozenset({"verifier"})),
    Route("GET", "/statistik", statistics.statistics, FIGURES),
    Route("GET", "/statistik.csv", statistics.statistics_csv, FIGURES),
    Route("GET", "/statistik.xlsx", statistics.statistics_xlsx, FIGURES),
    Route("GET", "/statistik.pdf", statistics.statistics_pdf, FIGURES),
    Route("GET", "/latihan", practice.practice, FIGURES | DESK),
    Route("GET", "/faq", faq_desk.desk, DESK),
    Route("POST", "/faq/selesai", faq_desk.done, DESK),
    Route("POST", "/faq/frasa", faq_desk.propose, DESK),
    Route("GET", "/faq/frasa.toml", faq_desk.export, DESK),
    Route("GET", "/faq/frasa/{phrasing}", faq_desk.phrasing, DESK),
    Route("POST", "/faq/frasa/{phrasing}/terima", faq_desk.accept, DESK),
    Route("POST", "/faq/frasa/{phrasing}/cabut", faq_desk.drop, DESK),
    Route("GET", "/tim", team.team, READING | {"admin", "auditor"}),
    Route("POST", "/tim/undang", team.invite, ADMIN),
    Route("POST", "/tim/undangan/batal", team.withdraw, ADMIN),
    Route("POST", "/tim/tim", team.add_team, ADMIN),
    Route("POST", "/tim/{account}/setuju", team.approve, READING | {"auditor"}),
    Route("POST", "/tim/{account}/hapus", team.remove, ADMIN),
    Route("POST", "/tim/{account}/peran", team.change_roles, ADMIN),
    Route("POST", "/tim/{account}/bagikan", team.share, READING),
    Route("GET", "/audit", audit.log, AUDITOR),
    Route("POST", "/audit/segel", audit.sign, AUDITOR),
    Route("GET", "/audit/laporan", audit.metadata, AUDITOR),
    Route("GET", "/siaran", broadcasts.listed, TEAM),
    Route("POST", "/siaran/berhenti", broadcasts.stop_all, TEAM),
    Route("POST", "/siaran/lepas", broadcasts.release, broadcasts.APPROVERS),
    Route("POST", "/siaran/hubungkan", broadcasts.link, broadcasts.APPROVERS),
    Route("GET", "/siaran/baru", broadcasts.compose, broadcasts.WRITERS),
    Route("POST", "/siaran/baru", broadcasts.save, broadcasts.WRITERS),
    Route("GET", "/siaran/paket", broadcasts.pack, broadcasts.WRITERS),
    Route("POST", "/siaran/paket", broadcasts.take_pack, broadcasts.WRITERS),
    Route("GET", "/siaran/{number}", broadcasts.show, TEAM),
    Route("GET", "/siaran/{number}/ubah", broadcasts.compose, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/ubah", broadcasts.save, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/ajukan", broadcasts.act, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/ulang", broadcasts.act, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/salin", broadcasts.act, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/buang", broadcasts.act, broadcasts.WRITERS),
    Route("POST", "/siaran/{number}/setujui", broadcasts.act, broadcasts.APPROVERS),
    Route("POST", "/siaran/{number}/tarik", broadcasts.act, broadcasts.APPROVERS),
    Route("POST", "/siaran/{number}/lanjut", broadcasts.act, broadcasts.APPROVERS),
    Route("POST", "/siaran/{number}/uji", broadcasts.act, broadcasts.APPROVERS),
    Route("POST", "/siaran/{number}/tahan", broadcasts.act, TEAM),
    Route("POST", "/siaran/{number}/batal", broadcasts.act, TEAM),
)
"""Every page and action with the roles that may use it; nothing else exists on this listener."""


def application(panel: Panel) -> web.Application:
    """The panel as an aiohttp application; its listener is the caller's."""
    app = web.Application(middlewares=[doors.dress, doors.guard], client_max_size=FORM_AT_MOST)
    app[PANEL], app[GATE] = panel, Gate(Throttle())
    app[TABLE] = {(route.method, route.path): route for route in ROUTES}
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    return app
