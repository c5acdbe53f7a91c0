"""Odd and hostile pictures, as many as wanted, the same ones for the same seed: what phones write, and what somebody writes on purpose.

Every piece of metadata carries `MARK`. `odd_photos` makes them, `fault_of` says what is wrong with what cleaning made of one, `left_over`
what the judges of others find in it.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageCms, ImageDraw

from storage.evidence import Cleaned

MARK = b"PENANDA"
"""Stands in every piece of metadata, and may be nowhere in what is kept."""

FORMS = (MARK, MARK.decode().encode("utf-16-le"), MARK.decode().encode("utf-16-be"))
BARE = {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
"""The segments of a JPEG that holds pixels alone: JFIF, tables, one baseline frame, one scan."""

Fate = Literal["taken", "refused", "either"]


@dataclass(frozen=True, slots=True)
class Odd:
    """A file, what it is, and what should become of it (`reason`: why it is refused, where only one reason is right)."""

    name: str
    data: bytes
    fate: Fate
    reason: str = ""


# --- parts of files -----------------------------------------------------------------------------------------------------------------


def segment(marker: int, body: bytes) -> bytes:
    """One JPEG segment."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def riff(kind: bytes, body: bytes) -> bytes:
    """One chunk of a WebP."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def scene(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    """A picture with edges and gradients."""
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        left, top = chance.randrange(size[0]), chance.randrange(size[1])
        draw.rectangle((left, top, left + size[0] // 3, top + size[1] // 3), fill=tuple(chance.randbytes(3)))
    return picture


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def exif(chance: random.Random) -> bytes:
    """What a phone writes, in either byte order: camera, owner, serial number, day, place, a note of its maker, a thumbnail."""
    made = Image.Exif()
    made.endian = chance.choice("<>")
    made[0x010F], made[0x0110], made[0x0131], made[0x013B] = (f"PENANDA {part}" for part in ("pabrik", "HP", "program", "pemilik"))
    made[0x0112], made[0x0132], made[0x9C9B] = chance.randint(1, 8), "2024:11:17 08:30:00", "PENANDA".encode("utf-16-le")
    inner = made.get_ifd(0x8769)
    inner[0x9003], inner[0xA431], inner[0x927C], inner[0x9286] = "2024:11:17 08:30:00", "PENANDA-SERI", MARK * 20, b"ASCII\0\0\0" + MARK
    place = made.get_ifd(0x8825)
    place[1], place[2], place[3], place[4], place[29] = "S", (5.0, 6.0, 7.0), "E", (105.0, 18.0, 9.0), "PENANDA"
    return made.tobytes()


@cache
def profile() -> bytes:
    """A real colour profile with the mark in its description and behind its end."""
    raw = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return raw.replace("sRGB built-in".encode("utf-16-be"), "PENANDA ikcbu".encode("utf-16-be")) + MARK


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">PENANDA</rdf:RDF></x:xmpmeta>'
LAUGHS = b'<!DOCTYPE a [<!ENTITY a "PENANDA"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x:xmpmeta>&b;</x:xmpmeta>'
JUMBF = b"\0\0\0\x48jumb\0\0\0\x28jumdc2pa\0\x11\0\x10\x80\0\0\xaa\x008\x9bq\x03c2pa.PENANDA\0\0\0\0\x18jsonPENANDA         "


def jpeg_parts(chance: random.Random) -> list[bytes]:
    """Segments that may stand before the pixels of a JPEG."""
    small = saved(scene(chance, (16, 16)), "JPEG", comment=MARK)
    makers: list[Callable[[], bytes]] = [
        lambda: segment(0xE1, b"Exif\0\0" + exif(chance).removeprefix(b"Exif\0\0")),
        lambda: segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + chance.choice((XMP, LAUGHS))),
        lambda: segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", len(XMP), 0) + XMP),
        lambda: segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 12) + b"\x1c\x02\x50\0\x07" + MARK),
        lambda: segment(0xED, b"Photoshop 3.0\x008BIM" + chance.randbytes(40) + MARK),
        lambda: segment(0xE2, b"ICC_PROFILE\0\1\1" + profile()),
        lambda: segment(0xE2, b"ICC_PROFILE\0\1\2" + profile()[:300]) + segment(0xE2, b"ICC_PROFILE\0\2\2" + profile()[300:]),
        lambda: segment(0xE2, b"MPF\0MM\0*\0\0\0\x08" + chance.randbytes(60) + MARK),
        lambda: segment(0xE2, b"FPXR\0" + MARK),
        lambda: segment(0xEB, b"JP\0\1\0\0\0\1" + JUMBF),
        lambda: segment(0xE0, b"JFXX\0\x10" + small),
        lambda: segment(0xE5, small),
        lambda: segment(0xEC, b"Ducky\0\1\0\4\0\0\0\x50" + MARK),
        lambda: segment(0xFE, MARK * chance.randint(1, 500)),
        lambda: segment(chance.randint(0xE3, 0xEF), b"SAMSUNG\0" + MARK + chance.randbytes(30)),
        lambda: b"\xff" * chance.randint(1, 9) + segment(0xFE, MARK),
    ]
    return [make() for make in chance.sample(makers, chance.randint(1, 7))]


TAILS: tuple[bytes, ...] = (
    b"", MARK, b"PK\3\4" + MARK, b"%PDF-1.7 PENANDA", b"<html><script>PENANDA</script>", b"\0\0\0\x18ftypmp42PENANDA mdat" + MARK * 30,
    b"\xff\xd8\xff\xe1\0\x0fPENANDA\xff\xd9", b"#!/bin/sh\necho PENANDA\n", b"Rar!\x1a\7\0" + MARK, b"\x7fELF" + MARK,
    b"MotionPhoto_Data" + MARK, b"SEFHPENANDASEFT",
)  # fmt: skip


def odd_jpeg(chance: random.Random) -> bytes:
    """A JPEG of any kind with any metadata, before, between and behind its pixels."""
    size = (chance.randint(1, 300), chance.randint(1, 300))
    picture = scene(chance, size).convert(chance.choice(("RGB", "RGB", "RGB", "L", "CMYK")))
    options: dict[str, Any] = {"quality": chance.randint(5, 100), "progressive": chance.random() < 0.4, "optimize": chance.random() < 0.3}
    if picture.mode == "RGB":
        options["subsampling"] = chance.choice((0, 1, 2))
    if chance.random() < 0.2:
        options["restart_marker_blocks"] = chance.randint(1, 20)
    raw = saved(picture, "JPEG", **options)
    if picture.mode == "CMYK" and chance.random() < 0.5:  # as Photoshop says it: YCCK
        raw = raw.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
    parts = jpeg_parts(chance)
    if chance.random() < 0.3:
        raw = raw[:2] + raw[2 + 2 + struct.unpack(">H", raw[4:6])[0] :]  # no JFIF head, as cameras write it
    frame = next((raw.index(b"\xff" + bytes([kind])) for kind in (0xC0, 0xC2) if b"\xff" + bytes([kind]) in raw[:3000]), 2)
    at = chance.choice((2, 2, 2, frame))
    raw = raw[:at] + b"".join(parts) + raw[at:]
    if chance.random() < 0.3:
        raw = raw[:-2] + segment(0xFE, MARK) + raw[-2:]  # behind the pixels, before the end
    return raw + chance.choice(TAILS)


def odd_png(chance: random.Random) -> bytes:
    """A PNG of any kind with any chunks."""
    size = (chance.randint(1, 300), chance.randint(1, 300))
    mode = chance.choice(("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "tRNS", "PtRNS"))
    picture = scene(chance, size)
    if mode == "I;16":
        picture = Image.frombytes("I;16", size, chance.randbytes(2 * size[0] * size[1]))
    elif mode == "PtRNS":
        picture = picture.convert("P")
        picture.info["transparency"] = bytes(range(200))
    elif mode == "tRNS":
        picture.info["transparency"] = (0, 0, 0)
    else:
        picture = picture.convert(mode)
    raw = saved(picture, "PNG")
    made: list[Callable[[], bytes]] = [
        lambda: chunk(b"tEXt", b"Comment\0" + MARK * 9),
        lambda: chunk(b"zTXt", b"Author\0\0" + zlib.compress(MARK * 99)),
        lambda: chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        lambda: chunk(b"iTXt", b"Title\0\1\0id\0PENANDA\0" + zlib.compress(MARK)),
        lambda: chunk(b"eXIf", exif(chance).removeprefix(b"Exif\0\0")),
        lambda: chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 7\n" + MARK.hex().encode() + b"\n" + MARK),
        lambda: chunk(b"tIME", b"\x07\xe8\x0b\x11\x08\x1e\0"),
        lambda: chunk(b"pHYs", struct.pack(">IIB", 2834, 2834, 1)),
        lambda: chunk(b"iCCP", b"PENANDA\0\0" + zlib.compress(profile())),
        lambda: chunk(b"caBX", JUMBF),
        lambda: chunk(b"prVt", MARK + chance.randbytes(50)),
        lambda: chunk(b"cICP", b"\1\x0d\0\1"),
        lambda: chunk(b"sPLT", MARK + b"\0\x08" + chance.randbytes(60)),
    ]
    before = b"".join(make() for make in chance.sample(made, chance.randint(1, 6)))
    behind = b"".join(make() for make in chance.sample(made[:8], chance.randint(0, 2)))
    end = raw.index(b"IEND") - 4
    return raw[:33] + before + raw[33:end] + behind + raw[end:] + chance.choice(TAILS)


def odd_webp(chance: random.Random) -> bytes:
    """A WebP, plain or extended, with any chunks."""
    size = (chance.randint(1, 300), chance.randint(1, 300))
    picture = scene(chance, size).convert(chance.choice(("RGB", "RGBA")))
    raw = saved(picture, "WEBP", lossless=chance.random() < 0.5, quality=chance.randint(1, 100), exif=exif(chance), xmp=XMP)
    more = [riff(b"EXIF", MARK), riff(b"XMP ", LAUGHS), riff(b"C2PA", JUMBF), riff(b"ABCD", MARK * 7), riff(b"ICCP", profile())]
    body = raw[12:] + b"".join(chance.sample(more, chance.randint(0, 3)))
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body + chance.choice(TAILS)


MAKERS: dict[str, Callable[[random.Random], bytes]] = {"jpeg": odd_jpeg, "png": odd_png, "webp": odd_webp}


# --- what is not meant well -----------------------------------------------------------------------------------------------------------


def hurt(chance: random.Random, data: bytes) -> tuple[str, bytes]:
    """A file that something happened to."""
    way = chance.choice(("cut", "flipped", "zeroed", "doubled", "without its middle", "grown"))
    raw = bytearray(data)
    at = chance.randrange(12, max(13, len(raw)))
    if way == "cut":
        return way, data[:at]
    if way == "flipped":
        for _ in range(chance.randint(1, 30)):
            raw[chance.randrange(12, len(raw))] ^= 1 << chance.randrange(8)
    elif way == "zeroed":
        raw[at : at + 40] = bytes(len(raw[at : at + 40]))
    elif way == "doubled":
        raw[at:at] = raw[at // 2 : at]
    elif way == "without its middle":
        del raw[at : at + chance.randint(1, 400)]
    else:
        raw[at:at] = chance.randbytes(chance.randint(1, 400))
    return way, bytes(raw)


def many_scans(count: int, side: int = 2000) -> bytes:
    """A progressive JPEG that is legal and takes for ever: one scan after the other over the same empty plane."""
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    table = segment(0xDB, b"\0" + bytes([1] * 64))
    huffman = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0") + segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
    first = segment(0xDA, b"\1\1\0\0\0\1") + b"\0" * 100
    again = segment(0xDA, b"\1\1\0\1\x3f\x10") + b"\0" * 10
    return b"\xff\xd8" + table + frame + huffman + first + again * count + b"\xff\xd9"


def empty_png(width: int, height: int, rows: int, *, colour: int = 0, depth: int = 1, interlaced: int = 0) -> bytes:
    """A PNG of one colour, far larger in memory than on disk."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = b"\0" + bytes(min(100_000, (width * channels * depth + 7) // 8))
    packed = zlib.compressobj(9)
    body = b"".join(packed.compress(line) for _ in range(rows)) + packed.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def inflated(size: int) -> bytes:
    """Zeros, packed."""
    packed = zlib.compressobj(9)
    return b"".join(packed.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packed.flush()


def looping_exif(*, count: int = 0) -> bytes:
    """EXIF whose directories lead to themselves, or that claims to hold more than there is."""
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8) + struct.pack(">HHII", 0x8825, 4, 1, 8)
    entry += struct.pack(">HHII", 0x010F, 2, count or 0xFFFFFFF0, 8) + struct.pack(">HHII", 0xA005, 4, 1, 8)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 4) + entry + struct.pack(">I", 8)


def bomb(chance: random.Random) -> Odd:
    """A file that is small on the wire and meant to be large, slow or endless in memory."""
    plain, small = saved(scene(chance, (64, 48)), "JPEG"), saved(scene(chance, (64, 48)), "PNG")
    side = chance.choice((13_000, 20_000, 50_000, 65_000, 2**31 - 1))
    makers: dict[str, Callable[[], tuple[bytes, Fate, str]]] = {
        "huge png": lambda: (empty_png(side, side, 50), "refused", "pixels"),
        "huge colour png": lambda: (empty_png(side, side, 20, colour=6, depth=16), "refused", "pixels"),
        "huge interlaced png": lambda: (empty_png(side, 9000, 20, colour=2, depth=8, interlaced=1), "refused", "pixels"),
        "long thin png": lambda: (empty_png(2**31 - 1, 1, 1), "refused", "pixels"),
        "huge jpeg": lambda: (
            plain.replace(b"\xff\xc0\0\x11\x08\0\x30\0\x40", b"\xff\xc0\0\x11\x08\xff\xdc\xff\xdc"),
            "refused",
            "pixels",
        ),
        "huge webp": lambda: (
            b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + struct.pack("<I", 18) + b"\x2f\xff\xff\xff\x0f" + bytes(13),
            "refused",
            "",
        ),
        "scans": lambda: (many_scans(chance.choice((65, 110, 1010))), "refused", "broken"),
        "scans within the limit": lambda: (many_scans(chance.randint(20, 60), 1200), "either", ""),
        "text bomb": lambda: (
            small[:33] + chunk(b"zTXt", b"a\0\0" + inflated(chance.choice((100, 300)) << 20)) + small[33:],
            "refused",
            "broken",
        ),
        "profile bomb": lambda: (small[:33] + chunk(b"iCCP", b"a\0\0" + inflated(300 << 20)) + small[33:], "either", ""),
        "many chunks": lambda: (small[:33] + chunk(b"tEXt", b"a\0" + MARK) * 40_000 + small[33:], "either", ""),
        "many comments": lambda: (plain[:2] + segment(0xFE, MARK) * 60_000 + plain[2:], "taken", ""),
        "looping exif": lambda: (plain[:2] + segment(0xE1, looping_exif()) + plain[2:], "taken", ""),
        "boasting exif": lambda: (plain[:2] + segment(0xE1, looping_exif(count=chance.choice((70_000, 1 << 31)))) + plain[2:], "taken", ""),
        "too many profile parts": lambda: (
            plain[:2] + b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(60_000)) for n in range(1, 200)) + plain[2:],
            "taken",
            "",
        ),
        "hostile profile": lambda: (plain[:2] + segment(0xE2, b"ICC_PROFILE\0\1\1" + hostile_profile(chance)) + plain[2:], "taken", ""),
        "noise between": lambda: (plain[:-2] + chance.randbytes(5000).replace(b"\xff", b"") + b"\xff\xd9", "either", ""),
        "nothing but starts": lambda: (b"\xff\xd8" * 50_000, "refused", "broken"),
        "a segment nobody uses": lambda: (plain[:2] + segment(0xF0 + chance.randrange(13), MARK) + plain[2:], "refused", "broken"),
        "nothing but restarts": lambda: (plain[:-2] + b"\xff\xd0" * 50_000 + b"\xff\xd9", "either", ""),
    }
    name = chance.choice(list(makers))
    data, fate, reason = makers[name]()
    return Odd(name, data, fate, reason)


def hostile_profile(chance: random.Random) -> bytes:
    """A colour profile with bytes changed, in its table of contents above all."""
    raw = bytearray(profile())
    for _ in range(chance.randint(1, 40)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def stranger(chance: random.Random) -> Odd:
    """Something else than a JPEG, PNG or WebP still, whatever it calls itself."""
    picture, plain = scene(chance, (64, 48)), saved(scene(chance, (64, 48)), "JPEG")
    other = [scene(chance, (64, 48))]
    makers: dict[str, Callable[[], tuple[bytes, str]]] = {
        "gif": lambda: (saved(picture, "GIF"), "kind"),
        "moving gif": lambda: (saved(picture, "GIF", save_all=True, append_images=other), "kind"),
        "tiff": lambda: (saved(picture, "TIFF"), "kind"),
        "bmp": lambda: (saved(picture, "BMP"), "kind"),
        "ico": lambda: (saved(picture, "ICO"), "kind"),
        "jpeg 2000": lambda: (saved(picture, "JPEG2000"), "kind"),
        "avif": lambda: (saved(picture, "AVIF"), "kind"),
        "tga": lambda: (saved(picture, "TGA"), "kind"),
        "ppm": lambda: (saved(picture, "PPM"), "kind"),
        "pdf": lambda: (saved(picture, "PDF"), "kind"),
        "heic": lambda: (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + chance.randbytes(900), "kind"),
        "film": lambda: (b"\0\0\0\x18ftypmp42\0\0\0\0" + chance.randbytes(900), "kind"),
        "psd": lambda: (b"8BPS\0\1" + bytes(6) + chance.randbytes(90), "kind"),
        "svg": lambda: (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "kind"),
        "office": lambda: (b"PK\3\4\x14\0\6\0[Content_Types].xml" + plain, "kind"),
        "playlist": lambda: (b"#EXTM3U\nfile:///etc/passwd\n", "kind"),
        "program": lambda: (b"\x7fELF" + chance.randbytes(300), "kind"),
        "sound": lambda: (b"RIFF\x24\0\0\0WAVEfmt " + chance.randbytes(40), "kind"),
        "page first": lambda: (b"<html>" + plain, "kind"),
        "space first": lambda: (b" " + plain, "kind"),
        "gif head": lambda: (b"GIF89a" + plain, "kind"),
        "noise": lambda: (chance.choice((b"", b"x")) + chance.randbytes(chance.choice((0, 1, 3, 500))).replace(b"\xff\xd8", b""), "kind"),
        "jpeg magic": lambda: (b"\xff\xd8\xff" + chance.randbytes(chance.choice((0, 1, 900))), "broken"),
        "png magic": lambda: (b"\x89PNG\r\n\x1a\n" + chance.randbytes(chance.choice((0, 1, 900))), "broken"),
        "webp magic": lambda: (b"RIFF\x90\0\0\0WEBP" + chance.randbytes(chance.choice((0, 1, 900))), "broken"),
        "moving png": lambda: (saved(picture, "PNG", save_all=True, append_images=other, duration=90), "moving"),
        "moving webp": lambda: (saved(picture, "WEBP", save_all=True, append_images=other, duration=90), "moving"),
        "too large": lambda: (plain + bytes(20_000_001), "large"),
    }
    name = chance.choice(list(makers))
    data, reason = makers[name]()
    return Odd(name, data, "refused", reason)


def odd_photos(count: int, seed: int = 1) -> Iterator[Odd]:
    """So many files: half of them odd but whole, a quarter hurt, the rest bombs and strangers."""
    for number in range(count):
        chance = random.Random(f"{seed}.{number}")
        part = number % 8
        if part in (3, 7):
            kind = chance.choice(list(MAKERS))
            way, data = hurt(chance, MAKERS[kind](chance))
            yield Odd(f"{kind} {way}", data, "either")
        elif part == 5:
            yield bomb(chance)
        elif part == 6:
            yield stranger(chance)
        else:
            kind = list(MAKERS)[(0, 1, 2, 0, 0)[part]]
            yield Odd(f"{kind} whole", MAKERS[kind](chance), "taken")


# --- what came out ------------------------------------------------------------------------------------------------------------------------


def fault_of(odd: Odd, cleaned: Cleaned) -> str:
    """What is wrong with a cleaned picture; empty: nothing."""
    jpeg = cleaned.jpeg
    if any(form in jpeg for form in FORMS) or MARK.decode() in json.dumps(cleaned.facts):
        return "a mark is left"
    found, end = parts_of(jpeg)
    if found - BARE:
        return f"segments {sorted(map(hex, found - BARE))}"
    if end != len(jpeg):
        return f"{len(jpeg) - end} bytes behind the end"
    if len(odd.data) > 64 and odd.data[-64:] in jpeg:
        return "bytes of the original"
    return ""


def parts_of(jpeg: bytes) -> tuple[set[int], int]:
    """The kinds of all segments of a JPEG, and where it ends."""
    found, at = set(), 2
    while jpeg[at] == 0xFF and jpeg[at + 1] != 0xD9:
        found.add(jpeg[at + 1])
        at += 2 + int(struct.unpack(">H", jpeg[at + 2 : at + 4])[0])
        if jpeg[at - 2 - 0] != 0xFF and jpeg[at] != 0xFF:  # the pixels of a scan run to the next marker
            while not (jpeg[at] == 0xFF and jpeg[at + 1] not in (0, *range(0xD0, 0xD8))):
                at += 1
    return found, at + 2


def left_over(folder: Path, *, slowly: int = 40) -> list[str]:
    """What the judges of others, exiftool and mat2, still find in the pictures of a folder; a judge that is not installed finds nothing.

    mat2 needs a fifth of a second for each, and looks at the first `slowly` only.
    """
    found: list[str] = []
    files = sorted(folder.glob("*.jpg"))
    if files and (tool := shutil.which("exiftool")):
        told = subprocess.run([tool, "-a", "-G1", "-json", "-r", folder], capture_output=True, check=True).stdout
        for one in json.loads(told):
            groups = {name.partition(":")[0] for name in one} - {"SourceFile", "ExifTool", "System", "File", "JFIF", "Composite"}
            found.extend(f"exiftool: {Path(one['SourceFile']).name} has {group}" for group in sorted(groups))
    if files and (tool := shutil.which("mat2")):
        for start in range(0, min(slowly, len(files)), 100):
            page = files[start : min(slowly, start + 100)]
            told = subprocess.run([tool, "--show", *page], capture_output=True, check=False).stdout
            clean = told.decode().count("No metadata found")
            if clean != len(page):
                found.append(f"mat2: {len(page) - clean} of {len(page)} hold metadata")
    return found
