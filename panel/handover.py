"""Handing a tip over: a packet with hashes for the agency, put together in memory and never written to a disk here."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from faq.identity import find_identity
from panel.case import SHOWN_FACTS, change, opened, photos_in_order
from panel.doors import confirmed, factor_is_fresh, who
from panel.pages import PANEL, day_text, form_of, go, language_of, named, page, plainly, sentence
from storage import originals
from storage.cases import Cases, OpenCase
from storage.staff import Approval, Refused

BODIES = ("bawaslu", "bkn", "inspektorat", "gakkumdu", "lapor")
"""Bawaslu, BKN's SBT, the Inspectorate, Sentra Gakkumdu, SP4N-LAPOR."""

SUMMARY_AT_MOST = 6000
PACKET_AT_MOST = 150 * 1000 * 1000
"""Bytes of a packet: it is held in memory."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time in the archive's entries: none, so that a packet says nothing about when it was made but its day."""


async def handover_page(
    request: web.Request, *, fault: str = "", typed: Mapping[str, str] | None = None, status: int = 200
) -> web.StreamResponse:
    """Prepare the packet: to whom, which words, which photos. The words are the officer's to edit; names stay out unless put in."""
    panel, case = request.app[PANEL], await opened(request)
    photos = await panel.store.read(lambda connection: panel.cases.photo_facts(connection, case.key, case.id))
    return page(
        request,
        "handover.html",
        status=status,
        case=case,
        photos=photos_in_order(photos, case),
        bodies=BODIES,
        summary=_summary(request, case),
        typed=typed or {},
        fault=fault,
        fresh=factor_is_fresh(request),
        summary_at_most=SUMMARY_AT_MOST,
    )


def _summary(request: web.Request, case: OpenCase) -> str:
    """The tip as a text, with what looks like somebody's identity taken out."""
    language, lines = language_of(request), []
    for name in SHOWN_FACTS:
        value = str(case.tip.get(name, ""))
        if name == "when":
            value = day_text(language, value)
        elif name in ("indicator", "kind"):
            value = named(language, name, value)
        if value:
            lines.append(f"{sentence(language, f'tip.{name}')}: {_masked(value)}")
    for entry in case.entries:
        if entry.kind == "tipster" and entry.words:
            lines.append(f"{sentence(language, 'entry.tipster')} ({day_text(language, entry.day)}): {_masked(entry.words)}")
    return "\n".join(lines)


def _masked(words: str) -> str:
    return plainly(find_identity(words)[1])


async def handover(request: web.Request) -> web.StreamResponse:
    """Record the hand-over and give the packet to the officer."""
    panel, account, form = request.app[PANEL], who(request).account, await form_of(request)
    body, summary = form.get("to", ""), form.get("summary", "").strip()
    if body not in BODIES or not summary or len(summary) > SUMMARY_AT_MOST:
        return await handover_page(request, fault="handover", typed=form, status=400)
    if not await confirmed(request):
        return await handover_page(request, fault="wrong_code", typed=form, status=401)
    wanted = {name.removeprefix("photo_") for name in form if name.startswith("photo_")}
    language = language_of(request)

    def record(connection: Connection, case: OpenCase) -> tuple[str, bytes]:
        files = _photos(connection, panel.cases, case, wanted)
        head = [
            sentence(language, "handover.title", alias=case.alias),
            f"{sentence(language, 'handover.to')}: {named(language, 'body', body)}",
            f"{sentence(language, 'case.arrived')}: {day_text(language, case.day)}",
            sentence(language, "handover.initial"),
            "",
            f"{sentence(language, 'handover.officer')}: {plainly(form.get('officer', '')[:120])}",
            f"NIP: {plainly(form.get('nip', '')[:40])}",
            f"{sentence(language, 'handover.post')}: {plainly(form.get('post', '')[:120])}",
            "",
        ]
        files = {"laporan.txt": "\n".join([*head, summary, ""]).encode(), **files}
        panel.cases.step(connection, case, account.name, {"action": "handed_over", "to": body, "photos": len(files) - 1})
        return case.alias, packet(files, {"case": case.alias, "to": body, "day": panel.cases.today().isoformat()})

    alias, archive = await change(request, "handed_over", record, detail=body)
    return _download(Download(f"{alias}.zip", archive))


def _photos(connection: Connection, cases: Cases, case: OpenCase, wanted: set[str] | None) -> dict[str, bytes]:
    """The case's photos by the names they get in a packet; all when `wanted` is None."""
    names = [name for entry in case.entries for name in entry.photos if wanted is None or name in wanted]
    found = {}
    for number, name in enumerate(names, start=1):
        photo = cases.photo(connection, case.key, case.id, name)
        if photo is not None:
            found[f"foto-{number:02}.jpg"] = photo[0]
    return found


def packet(files: Mapping[str, bytes], about: Mapping[str, str]) -> bytes:
    """A ZIP of the files with a manifest of their SHA-256 sums. Raises `Refused` when it would be too large."""
    if sum(map(len, files.values())) > PACKET_AT_MOST:
        raise Refused("too_many")
    listed = [{"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} for name, body in files.items()]
    manifest = json.dumps({**about, "files": listed}, ensure_ascii=False, indent=2).encode()
    sums = "".join(f"{entry['sha256']}  {entry['name']}\n" for entry in listed).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, body in {"manifest.json": manifest, "SHA256SUMS": sums, **files}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), body)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class Download:
    """A file that leaves the server."""

    name: str
    body: bytes


def _download(file: Download) -> web.Response:
    kind = "application/zip" if file.name.endswith(".zip") else "application/octet-stream"
    headers = {"Content-Disposition": f'attachment; filename="netra-{file.name.replace(" ", "-")}"'}
    return web.Response(body=file.body, content_type=kind, headers=headers)


# --- several at once: a second person agrees first ---------------------------------------------------------------------------


async def approvals(request: web.Request, *, fault: str = "", status: int = 200) -> web.StreamResponse:
    """What waits for a second person, and what one asked for oneself."""
    panel, me = request.app[PANEL], who(request).account.id
    found = await panel.store.read(panel.staff.approvals)
    return page(request, "approvals.html", status=status, approvals=found, me=me, fault=fault, fresh=factor_is_fresh(request))


def _approval_id(request: web.Request) -> bytes:
    try:
        return bytes.fromhex(request.match_info["approval"])
    except ValueError as error:
        raise web.HTTPNotFound from error


async def agree(request: web.Request) -> web.StreamResponse:
    """Agree to what somebody else asked for."""
    panel, account, name = request.app[PANEL], who(request).account, _approval_id(request)
    if not await confirmed(request):
        return await approvals(request, fault="wrong_code", status=401)

    def record(connection: Connection) -> None:
        panel.staff.agree(connection, name, account)
        panel.audit.add(connection, account.name, "agreed", name.hex())

    try:
        await panel.store.write(record)
    except Refused as refused:
        return await approvals(request, fault=refused.reason, status=409)
    raise go("/persetujuan", "approved")


async def use(request: web.Request) -> web.StreamResponse:
    """Do what was asked for and agreed to, once: an export, the release of an original, a legal hold or its end."""
    panel, session, name, language = request.app[PANEL], who(request), _approval_id(request), language_of(request)
    account = session.account
    if not await confirmed(request):
        return await approvals(request, fault="wrong_code", status=401)

    def opened_by_me(connection: Connection, case_name: str) -> OpenCase | None:
        return panel.cases.by_seal(connection, account.id, session.private_key, bytes.fromhex(case_name))

    def export(connection: Connection, approval: Approval) -> Download:
        panel.staff.use_approval(connection, name, account)
        files: dict[str, bytes] = {}
        for case in filter(None, (opened_by_me(connection, case_name) for case_name in approval.subjects)):
            folder = case.alias.replace(" ", "-")
            text = [sentence(language, "case.title", alias=case.alias), *_told(request, case), ""]
            files[f"{folder}/laporan.txt"] = "\n".join(text).encode()
            files |= {f"{folder}/{photo}": body for photo, body in _photos(connection, panel.cases, case, None).items()}
            panel.cases.step(connection, case, account.name, {"action": "exported"})
            panel.audit.add(connection, account.name, "exported", case.id.hex(), approval.agreed_by)
        return Download("ekspor.zip", packet(files, {"approved_by": approval.agreed_by, "day": panel.cases.today().isoformat()}))

    def original(connection: Connection, approval: Approval) -> Download:
        evidence = approval.subjects[0]
        case_name = originals.case_of(connection, evidence)
        case = opened_by_me(connection, case_name.hex()) if case_name else None
        if case is None:
            raise Refused("no_original")
        body = originals.release(connection, panel.staff, name, account, case.id, case.key, evidence)
        panel.cases.step(connection, case, account.name, {"action": "original_released"})
        panel.audit.add(connection, account.name, "original_released", case.id.hex(), approval.agreed_by)
        return Download(f"asli-{evidence[:8]}.age", body)

    def hold(connection: Connection, approval: Approval) -> None:
        panel.staff.use_approval(connection, name, account)
        case, action = opened_by_me(connection, approval.subjects[0]), "held" if approval.kind == "hold" else "hold_ended"
        if case is None:
            raise Refused("no_case")
        panel.cases.hold(connection, case.id, approval.kind == "hold")
        panel.cases.step(connection, case, account.name, {"action": action})
        panel.audit.add(connection, account.name, action, case.id.hex(), approval.agreed_by)

    def do(connection: Connection) -> Download | None:
        approval = next((known for known in panel.staff.approvals(connection) if known.id == name and known.asked_by == account.id), None)
        if approval is None or not approval.agreed_by:
            raise Refused("not_approved")
        if approval.kind == "export":
            return export(connection, approval)
        if approval.kind == originals.RELEASE:
            return original(connection, approval)
        hold(connection, approval)
        return None

    try:
        download = await panel.store.write(do)
    except Refused as refused:
        return await approvals(request, fault=refused.reason, status=409)
    if download is None:
        raise go("/persetujuan", "done")
    return _download(download)


def _told(request: web.Request, case: OpenCase) -> Sequence[str]:
    """The tip and what was said with the tipster, as lines; notes stay inside."""
    language = language_of(request)
    said = [
        f"{day_text(language, entry.day)} {sentence(language, f'entry.{entry.kind}', by=entry.by)}: {plainly(entry.words)}"
        for entry in case.entries
        if entry.kind in ("tipster", "team") and entry.words
    ]
    return [_summary(request, case), *said]
