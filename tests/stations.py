"""Every question that a person can come to, with a conversation that waits at it."""

from __future__ import annotations

import re

from tests.talk import Machine, Talk

STORY = "Camat membagikan amplop kepada warga di balai desa sesudah pengajian, lalu mengajak memilih paslon tertentu. Banyak yang melihat."

TIP = ("/lapor", "kampanye", "uang atau barang", "lamtim", "kemarin", STORY, "Camat X", "selesai", "lewati")
"""A tip up to its summary, line by line."""

PATHS: dict[str, tuple[str, ...]] = {
    "menu.wish": ("halo",),
    "language.which": ("/bahasa",),
    "erase.sure": ("/hapus",),
    "tip.indicator": TIP[:1],
    "tip.kind": TIP[:2],
    "tip.where": TIP[:3],
    "tip.where_which": (*TIP[:3], "sukadana"),
    "tip.when": TIP[:4],
    "tip.what": TIP[:5],
    "tip.who": TIP[:6],
    "tip.above": (*TIP[:6], "Ketua Bawaslu kabupaten"),
    "tip.photos": TIP[:7],
    "tip.photos.2": (*TIP[:7], "@2"),
    "tip.more": TIP[:8],
    "tip.identity": (*TIP[:8], "nama saya Budi Santoso, telepon 0812-3456-7890"),
    "tip.send": TIP,
    "follow_up.code": ("/cek",),
    "follow_up.next": ("/cek", "CODE"),
    "follow_up.words": ("/cek", "CODE", "tulis pesan"),
    "follow_up.more_photos": ("/cek", "CODE", "tambah foto"),
    "follow_up.more_photos.1": ("/cek", "CODE", "tambah foto", "@1"),
    "follow_up.danger_words": ("/cek", "CODE", "merasa terancam"),
    "follow_up.identity": ("/cek", "CODE", "tulis pesan", "NIP saya 197504231998031002, hubungi 0812-3456-7890"),
    "follow_up.withdraw_sure": ("/cek", "CODE", "tarik laporan"),
    "follow_up.tell_me_sure": ("/cek", "CODE", "kabari saya"),
    "saved_code.last_group": (*TIP, "kirim"),
    "self_check.question": ("/tanya",),
    "self_check.report": ("kepala dinas bagi-bagi uang kepada warga",),
    "self_check.which": ("boleh pose begini?",),
    "self_check.consent": ("boleh pose begini?", "tidak ada yang cocok"),
    "self_check.topic": ("/tanya", "pilih topik"),
    "self_check.topic.7": ("/tanya", "pilih topik", "topik lain"),
    "self_check.topic.14": ("/tanya", "pilih topik", "topik lain", "topik lain"),
    "self_check.pick": ("/tanya", "pilih topik", "media sosial"),
    "self_check.pick.7": ("/tanya", "pilih topik", "media sosial", "berikutnya"),
    "self_check.condition.0.0": ("boleh terima kaos dari tim calon?",),
    "self_check.next.0.0": ("bole ga sy like postingan cabup?",),
    "self_check.nearest.0": ("bole ga sy like postingan cabup?", "tidak membantu"),
}
"""The way to each question, in what a person types; `@2` sends two photos, `CODE` is the code of a report that was sent."""


ON_TELEGRAM = {"follow_up.tell_me_sure"}


def walk(talk: Talk, lines: tuple[str, ...], code: str = "") -> Talk:
    """Type these lines."""
    for line in lines:
        if line.startswith("@"):
            talk.sends_photos(int(line[1:]))
        else:
            talk.says(code if line == "CODE" else line)
    return talk


def sent_code(talk: Talk) -> str:
    """The receipt code in what was just said."""
    secret = next(message for message in talk.heard if message.secret)
    found = re.search(r"\b\d{4}(?: \d{4}){4}\b", secret.text)
    assert found
    return found[0]


def send_tip(machine: Machine) -> str:
    """Send a tip; its code."""
    return sent_code(walk(Talk(machine), (*TIP, "kirim")))


def at(machine: Machine, name: str, channel: str = "web_chat", code: str = "") -> Talk:
    """A conversation that waits at this question, on a channel that has it."""
    if name in ON_TELEGRAM:
        channel = "telegram"
    if "CODE" in PATHS[name]:
        code = code or send_tip(machine)
    return walk(Talk(machine, channel=channel), PATHS[name], code).is_asked(name)
