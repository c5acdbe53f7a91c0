"""Decodes hostile pictures: a parent that never touches one, and a child per picture that dies with it.

Run as a script (`python -I decoder.py FD`). It imports the codec once, then forks for each job; the child drops to tight limits, reads one
file from a socket, builds fresh pixels, writes a clean JPEG and what may be said about the original, and exits. Nothing touches the disk.
Limits and the many-scan JPEG: docs/evidence.md.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import hashlib
import io
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import warnings

from PIL import Image, ImageCms, ImageOps

MAX_BYTES = 20 * 1000 * 1000
MAX_PIXELS = 50_000_000
MAX_SIDE = 4096
MAX_SCANS = 64
MAX_PROFILE = 256 * 1024
QUALITY = 88
MEMORY, CPU_SECONDS, WALL_SECONDS = 900 * 1024 * 1024, 5, 8
DRAFT_ABOVE = 24_000_000

NOBODY = 65534
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
"""Numbers of the Linux kernel's interface (prctl.h, and the system call table, where these two are the same on every machine)."""

DAY = re.compile(r"([0-9]{4}):([01][0-9]):([0-3][0-9])(?: |$)", re.ASCII)
PHONE_SCREEN = (1.9, 2.5)
"""Height over width of a phone's screen; its camera takes 1.33 or 1.78."""
MANIFEST = {"JPEG": b"jumb", "PNG": b"caBX", "WEBP": b"C2PA"}
"""Where a C2PA manifest lies (C2PA specification, A.3: embedding)."""

MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}


class Unwelcome(Exception):
    """A file that is refused; the argument is the reason's name."""


def sniff(data: bytes) -> str:
    """The format by its first bytes; raises `Unwelcome` for anything but JPEG, PNG and WebP."""
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise Unwelcome("kind")


def clean(data: bytes) -> tuple[bytes, dict[str, object]]:
    """Fresh pixels of a picture as a JPEG, and derived facts about the original."""
    if len(data) > MAX_BYTES:
        raise Unwelcome("large")
    kind = sniff(data)
    if kind == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise Unwelcome("broken")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    picture = Image.open(io.BytesIO(data), formats=[kind])
    if picture.width * picture.height > MAX_PIXELS:
        raise Unwelcome("pixels")
    if kind != "JPEG" and getattr(picture, "n_frames", 1) > 1:  # a JPEG with more is a phone's still with depth map or preview
        raise Unwelcome("moving")
    facts = statements(picture, kind, data)
    profile = picture.info.get("icc_profile")
    if kind == "JPEG" and picture.width * picture.height > DRAFT_ABOVE:
        picture.draft("RGB", (MAX_SIDE, MAX_SIDE))
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    upright: Image.Image = picture
    if upright.mode.startswith("I"):  # 16 bits of grey: Pillow would cut off all but the lowest eight, which is white
        upright = upright.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    upright = to_srgb(upright, profile)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        ground.alpha_composite(layer)
        upright = ground
    flat = upright if upright.mode == "RGB" else upright.convert("RGB")
    flat.thumbnail((MAX_SIDE, MAX_SIDE))
    fresh = Image.new("RGB", flat.size)
    fresh.paste(flat)  # pixels alone: whatever else the original carried, known to the encoder or not, stays behind
    out = io.BytesIO()
    fresh.save(out, "JPEG", quality=QUALITY)
    jpeg = out.getvalue()
    facts |= {
        "original_sha256": hashlib.sha256(data).hexdigest(),
        "clean_sha256": hashlib.sha256(jpeg).hexdigest(),
        "size": len(data),
        "likeness": likeness(fresh),
        "width": fresh.width,
        "height": fresh.height,
    }
    return jpeg, facts


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, where it carries a usable colour profile."""
    if not profile or len(profile) > MAX_PROFILE or picture.mode not in ("RGB", "CMYK", "L"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return converted or picture


def statements(picture: Image.Image, kind: str, data: bytes) -> dict[str, object]:
    """What the metadata says, reduced to a day and yes or no; the raw values are dropped here."""
    taken, camera, place = "", False, False
    try:
        exif = picture.getexif()
        stamp = DAY.match(str(exif.get_ifd(0x8769).get(0x9003, "") or exif.get(0x0132, "")))
        taken = "-".join(stamp.groups()) if stamp else ""
        camera = bool(exif.get(0x010F) or exif.get(0x0110))
        place = bool(exif.get_ifd(0x8825))
    except Exception:  # noqa: BLE001 - damaged metadata is absent metadata
        taken, camera, place = "", False, False
    tall = max(picture.size) / max(1, min(picture.size))
    upright_phone = PHONE_SCREEN[0] < picture.height / max(1, picture.width) < PHONE_SCREEN[1]
    return {
        "format": kind,
        "taken": taken,
        "camera": camera,
        "place": place,
        "screenshot": not camera and ((kind == "PNG" and tall > 1.6) or upright_phone),
        "resent": kind == "JPEG" and not (camera or taken or place),
        "provenance": b"c2pa" in data and MANIFEST[kind] in data,
    }


def likeness(picture: Image.Image) -> str:
    """A 64-bit difference hash: near-equal pictures have near-equal hashes."""
    small = picture.resize((9, 8), Image.Resampling.LANCZOS, reducing_gap=3.0).convert("L")
    pixels = small.tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (pixels[row * 9 + column] > pixels[row * 9 + column + 1])
    return f"{bits:016x}"


def answer(job: socket.socket) -> None:
    """Serve one job in this process and leave."""
    shut_in()
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),  # what is open stays open; nothing else can be opened, neither file nor socket
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    signal.alarm(WALL_SECONDS)
    parts, total = [], 0
    while part := job.recv(1 << 16):
        total += len(part)
        if total > MAX_BYTES + 1:
            break
        parts.append(part)
    try:
        jpeg, facts = clean(b"".join(parts))
    except Unwelcome as reason:
        jpeg, facts = b"", {"refused": str(reason)}
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        jpeg, facts = b"", {"refused": "pixels"}
    except Exception:  # noqa: BLE001 - whatever a hostile file provokes, it is a broken picture
        jpeg, facts = b"", {"refused": "broken"}
    head = json.dumps(facts).encode()
    job.sendall(struct.pack(">II", len(head), len(jpeg)) + head + jpeg)


def shut_in() -> None:
    """Take from this process what a decoder never needs: root's rights, new rights, the file system, TCP.

    Landlock (Linux 5.13 and newer) also stops what needs no open file, such as removing one; where the kernel lacks it, the limits
    of `answer` stand alone.
    """
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # a container may keep root from becoming somebody else
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return
    files = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    rules = struct.pack("=QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, rules, size, 0)
    if ruleset >= 0:
        libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def warm() -> None:
    """Load every module that decoding needs, before the children lose the right to open files."""
    Image.init()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        out = io.BytesIO()
        Image.new("RGB", (16, 16)).save(out, kind, exif=Image.Exif(), icc_profile=profile)
        clean(out.getvalue())


def serve(control: socket.socket) -> None:
    """Fork a child for each socket that comes in, until the owner hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()
    while True:
        _, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(4))
        handles = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                handles.frombytes(data[:4])
        if not handles:
            return
        job = socket.socket(fileno=handles[0])
        if os.fork() == 0:
            control.close()
            try:
                answer(job)
            finally:
                os._exit(0)
        job.close()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
