"""Photos: everything but the pixels is gone, hostile files are refused within limits, the child can do nothing but decode."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from storage import decoder, evidence
from storage.evidence import MAX_BYTES, Cleaned, Cleaner, Refused
from tests.odd_photos import MARK, XMP, chunk, fault_of, left_over, many_scans, odd_photos, segment


@pytest.fixture(scope="module")
def cleaner() -> Iterator[Cleaner]:
    """One cleaner for all photos, as in the program."""
    made = Cleaner()
    yield made
    made.close()


def scene(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A picture whose corners can be told apart."""
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, 0, width // 4, height // 4), fill="red")
    draw.rectangle((width * 3 // 4, 0, width, height // 4), fill="blue")
    return picture


def exif(orientation: int = 1) -> Image.Exif:
    """What a phone writes: camera, serial number, day, place, a note of its maker, and a thumbnail."""
    made = Image.Exif()
    made[0x010F], made[0x0110], made[0x0131], made[0x013B] = "PENANDA pabrik", "PENANDA HP", "PENANDA perangkat lunak", "PENANDA nama"
    made[0x0112], made[0x0132] = orientation, "2024:11:17 08:30:00"
    inner = made.get_ifd(0x8769)
    inner[0x9003], inner[0xA431], inner[0x927C], inner[0x9286] = (
        "2024:11:17 08:30:00",
        "PENANDA-SERI",
        b"PENANDA maker",
        b"ASCII\0\0\0PENANDA",
    )
    place = made.get_ifd(0x8825)
    place[1], place[2], place[3], place[4], place[29] = "S", (5.0, 6.0, 7.0), "E", (105.0, 18.0, 9.0), "PENANDA"
    return made


def profile() -> bytes:
    """A real colour profile with our mark in its description."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    raw = bytearray(made.tobytes())
    return bytes(raw.replace("sRGB built-in".encode("utf-16-be"), "PENANDA ikcbu".encode("utf-16-be"))) + MARK


def jpeg(orientation: int = 1, size: tuple[int, int] = (640, 480)) -> bytes:
    """A JPEG with everything that can stand in one."""
    out = io.BytesIO()
    scene(size).save(out, "JPEG", quality=92, exif=exif(orientation), icc_profile=profile(), comment=MARK, xmp=XMP)
    small = io.BytesIO()
    scene((64, 48)).save(small, "JPEG", comment=MARK)
    raw = out.getvalue()
    more = segment(0xE4, b"PRIVATE\0" + MARK) + segment(0xEB, b"JP\0\1jumbPENANDA c2pa") + segment(0xED, b"Photoshop 3.0\x008BIM" + MARK)
    more += segment(0xE5, small.getvalue()) + segment(0xFE, MARK)
    return raw[:2] + more + raw[2:] + b"TRAILER" + MARK + small.getvalue()


def png() -> bytes:
    """A PNG with text in all three forms, EXIF, a profile, a private chunk and a trailer."""
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", "PENANDA")
    words.add_text("Author", "PENANDA", zip=True)
    words.add_itxt("XML:com.adobe.xmp", XMP.decode())
    out = io.BytesIO()
    scene().save(out, "PNG", pnginfo=words, exif=exif(), icc_profile=profile())
    raw = out.getvalue()
    end = raw.index(b"IEND") - 4
    return raw[:end] + chunk(b"tIME", b"\x07\xe8\x0b\x11\x08\x1e\0") + chunk(b"prVt", MARK) + raw[end:] + MARK


def webp() -> bytes:
    """A WebP with EXIF, XMP, a profile and a trailer."""
    out = io.BytesIO()
    scene().save(out, "WEBP", exif=exif(), icc_profile=profile(), xmp=XMP)
    return out.getvalue() + MARK


PHOTOS: dict[str, Callable[[], bytes]] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}


# --- what is gone -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PHOTOS)
def test_everything_but_the_pixels_is_gone(cleaner: Cleaner, kind: str, tmp_path: Path) -> None:
    """No mark, no EXIF, no profile, no comment, no thumbnail, no trailer: only the segments of a bare JPEG."""
    data = PHOTOS[kind]()
    assert data.count(MARK) >= 2, "the test photo carries marks"
    cleaned = cleaner.clean_now(data)
    assert MARK not in cleaned.jpeg and b"PENANDA" not in cleaned.jpeg.replace(b"\0", b"")
    assert segments(cleaned.jpeg) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA} and cleaned.jpeg.endswith(b"\xff\xd9")
    assert cleaned.jpeg[2:4] == b"\xff\xe0" and cleaned.jpeg[6:11] == b"JFIF\0"
    picture = Image.open(io.BytesIO(cleaned.jpeg))
    picture.load()
    assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"} and not picture.getexif()
    assert close_to(picture.getpixel((20, 20)), (254, 0, 0)) and close_to(picture.getpixel((620, 20)), (0, 0, 254))
    judged(cleaned.jpeg, tmp_path)


def segments(data: bytes) -> set[int]:
    """The kinds of segments before the pixels."""
    found, at = set(), 2
    while data[at] == 0xFF:
        found.add(data[at + 1])
        if data[at + 1] == 0xDA:
            break
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return found


def close_to(pixel: Any, wanted: tuple[int, int, int]) -> bool:
    """Whether a colour survived a JPEG."""
    return all(abs(one - other) < 30 for one, other in zip(pixel, wanted, strict=True))


def wanted(picture: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    """The colour of a place in a picture."""
    pixel: Any = picture.convert("RGB").getpixel((x, y))
    return pixel[0], pixel[1], pixel[2]


def judged(data: bytes, folder: Path) -> None:
    """The judges of others agree, where they are installed."""
    folder.joinpath("clean.jpg").write_bytes(data)
    assert not left_over(folder)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright(cleaner: Cleaner, orientation: int) -> None:
    """The orientation is applied before it is dropped: red stays where the person saw it."""
    raw = io.BytesIO()
    scene().save(raw, "JPEG", quality=92, exif=exif(orientation))
    seen = Image.open(io.BytesIO(raw.getvalue()))
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(seen)
    picture = Image.open(io.BytesIO(cleaner.clean_now(raw.getvalue()).jpeg))
    assert picture.size == upright.size == ((480, 640) if orientation > 4 else (640, 480))
    for x, y in ((20, 20), (picture.width - 20, 20), (20, picture.height - 20), (picture.width - 20, picture.height - 20)):
        assert close_to(picture.getpixel((x, y)), wanted(upright, x, y))


def test_what_is_said_of_an_original(cleaner: Cleaner) -> None:
    """A day, yes and no, hashes and a likeness: no place, no camera, no name."""
    data = jpeg()
    facts = cleaner.clean_now(data).facts
    assert facts["taken"] == "2024-11-17" and facts["camera"] and facts["place"] and not facts["screenshot"]
    assert facts["size"] == len(data) and (facts["width"], facts["height"]) == (640, 480)
    assert "PENANDA" not in json.dumps(facts) and "105" not in json.dumps(
        {**facts, "size": 0, "original_sha256": "", "clean_sha256": "", "likeness": ""}
    )
    near = cleaner.clean_now(jpeg(size=(600, 450))).facts["likeness"]
    assert (int(near, 16) ^ int(facts["likeness"], 16)).bit_count() <= 6


def test_odd_but_honest_photos_are_taken(cleaner: Cleaner) -> None:
    """Grey, palette, transparent, CMYK, 16 bits, one pixel, a phone's two-in-one JPEG: all become a plain JPEG."""
    taken: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (scene().convert("L"), "JPEG", {}),
        (scene().convert("CMYK"), "JPEG", {}),
        (scene(), "JPEG", {"progressive": True}),
        (scene().convert("P"), "PNG", {}),
        (scene().convert("1"), "PNG", {}),
        (scene().convert("L").convert("I;16"), "PNG", {}),
        (scene().convert("RGBA"), "PNG", {}),
        (scene().convert("LA"), "PNG", {}),
        (scene().convert("RGBA"), "WEBP", {"lossless": True}),
        (Image.new("RGB", (1, 1), "red"), "PNG", {}),
        (scene(), "MPO", {"save_all": True, "append_images": [scene((64, 48))]}),
    ]
    for picture, kind, options in taken:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        opened = Image.open(io.BytesIO(cleaner.clean_now(out.getvalue()).jpeg))
        assert (opened.size, opened.mode) == (picture.size, "RGB"), (kind, picture.mode)


def test_transparency_becomes_white(cleaner: Cleaner) -> None:
    """What is hidden under full transparency does not come to light."""
    picture = Image.new("RGBA", (64, 64), (200, 10, 10, 0))
    out = io.BytesIO()
    picture.save(out, "PNG")
    assert Image.open(io.BytesIO(cleaner.clean_now(out.getvalue()).jpeg)).getpixel((32, 32)) == (255, 255, 255)


def test_large_photos_become_smaller(cleaner: Cleaner) -> None:
    """The longest side is 4,096 at most; a wide panorama keeps its shape."""
    out = io.BytesIO()
    scene((5000, 1000)).save(out, "JPEG")
    facts = cleaner.clean_now(out.getvalue()).facts
    assert (facts["width"], facts["height"]) == (4096, 819)


def test_a_broken_profile_or_exif_is_no_obstacle(cleaner: Cleaner) -> None:
    """Damaged metadata is absent metadata; the photo is kept."""
    out = io.BytesIO()
    scene().save(out, "JPEG", icc_profile=b"\0" * 200, exif=b"Exif\0\0MM\0*" + b"\xff" * 60)
    facts = cleaner.clean_now(out.getvalue()).facts
    assert (facts["taken"], facts["camera"], facts["place"]) == ("", False, False)


# --- hostile files ------------------------------------------------------------------------------------------------------------------------


def gray_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG of one colour, far larger in memory than on disk."""
    line = b"\0" + bytes((width + 7) // 8)
    packed = zlib.compressobj(9)
    body = b"".join(packed.compress(line) for _ in range(height if rows is None else rows)) + packed.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def moving(kind: str) -> bytes:
    """A picture that moves."""
    out = io.BytesIO()
    scene((32, 32)).save(out, kind, save_all=True, append_images=[Image.new("RGB", (32, 32), "red")], duration=100)
    return out.getvalue()


def saved(kind: str, size: tuple[int, int] = (64, 64)) -> bytes:
    """A picture in another format."""
    out = io.BytesIO()
    scene(size).save(out, kind)
    return out.getvalue()


PLAIN = saved("JPEG")
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("kind", lambda: b""),
    "one byte": ("kind", lambda: b"\xff"),
    "words": ("kind", lambda: b"bukan foto" * 100),
    "gif": ("kind", lambda: saved("GIF")),
    "tiff": ("kind", lambda: saved("TIFF")),
    "bmp": ("kind", lambda: saved("BMP")),
    "avif": ("kind", lambda: saved("AVIF")),
    "heic": ("kind", lambda: b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(500)),
    "svg": ("kind", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'),
    "pdf": ("kind", lambda: b"%PDF-1.7\n" + PLAIN),
    "zip": ("kind", lambda: b"PK\3\4" + PLAIN),
    "html": ("kind", lambda: b"<html><script>1</script>" + PLAIN),
    "playlist": ("kind", lambda: b"#EXTM3U\nfile:///etc/passwd\n"),
    "eps": ("kind", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
    "moving png": ("moving", lambda: moving("PNG")),
    "moving webp": ("moving", lambda: moving("WEBP")),
    "cut jpeg": ("broken", lambda: jpeg()[:9000]),
    "jpeg head": ("broken", lambda: PLAIN[:20]),
    "cut png": ("broken", lambda: png()[: len(png()) * 6 // 10]),
    "cut webp": ("broken", lambda: webp()[:800]),
    "png magic alone": ("broken", lambda: b"\x89PNG\r\n\x1a\n"),
    "riff without picture": ("broken", lambda: b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0"),
    "jpeg magic and noise": ("broken", lambda: b"\xff\xd8\xff" + bytes(range(256)) * 40),
    "wrong checksum": ("broken", lambda: png().replace(b"IHDR\0\0\2\x80", b"IHDR\0\0\2\x81")),
    "1,010 scans": ("broken", lambda: many_scans(1010)),
    "13,000 x 13,000": ("pixels", lambda: gray_png(13_000, 13_000)),
    "50,000 x 50,000": ("pixels", lambda: gray_png(50_000, 50_000, 100)),
    "huge head, no body": ("pixels", lambda: gray_png(2**31 - 1, 2**31 - 1, 1)),
    "text bomb": ("broken", lambda: bomb_of_text()),
    "21 MB": ("large", lambda: PLAIN + bytes(MAX_BYTES)),
}


def bomb_of_text() -> bytes:
    """A PNG whose compressed text would be 300 MB."""
    packed = zlib.compressobj(9)
    body = b"".join(packed.compress(bytes(1 << 20)) for _ in range(300)) + packed.flush()
    raw = saved("PNG")
    return raw[:33] + chunk(b"zTXt", b"a\0\0" + body) + raw[33:]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_its_reason(cleaner: Cleaner, name: str) -> None:
    """Within the limits, with this process untouched and the next photo welcome."""
    reason, make = HOSTILE[name]
    data = make()
    before, started = memory(), time.monotonic()
    with pytest.raises(Refused) as refused:
        cleaner.clean_now(data)
    assert refused.value.reason == reason
    assert time.monotonic() - started < evidence.WAIT_SECONDS
    assert memory() - before < 30_000_000, "this process grew"


def memory() -> int:
    """How much memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_odd_and_hostile_photos_leave_nothing(cleaner: Cleaner, tmp_path: Path) -> None:
    """Of 160 files with anything in them the whole ones are taken and bare, the others refused for the right reason."""
    before = memory()
    for number, odd in enumerate(odd_photos(160, seed=7)):
        try:
            cleaned = cleaner.clean_now(odd.data)
        except Refused as refused:
            assert odd.fate != "taken" and odd.reason in ("", refused.reason), (odd.name, refused.reason)
            continue
        assert odd.fate != "refused" and not fault_of(odd, cleaned), (odd.name, fault_of(odd, cleaned))
        tmp_path.joinpath(f"{number}.jpg").write_bytes(cleaned.jpeg)
    assert memory() - before < 60_000_000, "this process grew"
    assert not left_over(tmp_path)


def test_the_search_for_what_is_left_is_not_blind(cleaner: Cleaner) -> None:
    """A mark, a segment, bytes behind the end: each would be found."""
    (odd,) = odd_photos(1)
    cleaned = cleaner.clean_now(odd.data)
    assert not fault_of(odd, cleaned)
    for jpeg in (
        cleaned.jpeg[:2] + segment(0xE1, b"Exif") + cleaned.jpeg[2:],
        cleaned.jpeg[:-2] + segment(0xFE, b"words") + cleaned.jpeg[-2:],
        cleaned.jpeg + b"x",
        cleaned.jpeg[:-2] + "PENANDA".encode("utf-16-le") + cleaned.jpeg[-2:],
    ):
        assert fault_of(odd, Cleaned(jpeg, cleaned.facts))


@pytest.mark.parametrize("depth", ["grey", "grey with a colour for nothing"])
def test_sixteen_bits_of_grey_keep_their_shades(cleaner: Cleaner, depth: str) -> None:
    """A grey of 16 bits comes out as dark as it was, not white."""
    rows = b"".join(b"\0" + b"\x40\x11" * 16 for _ in range(16))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 0, 0, 0, 0)) + (chunk(b"tRNS", b"\0\0") if "nothing" in depth else b"")
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert close_to(Image.open(io.BytesIO(cleaner.clean_now(data).jpeg)).getpixel((8, 8)), (64, 64, 64))


def test_what_looks_like_a_screenshot_or_was_sent_on(cleaner: Cleaner) -> None:
    """A picture of a phone's shape without a camera is taken for a screenshot; a JPEG without any day, place or camera was sent on."""
    phone, photo = saved("JPEG", (90, 195)), saved("JPEG", (160, 120))
    said = [cleaner.clean_now(data).facts for data in (phone, photo, saved("PNG", (195, 90)), jpeg(size=(90, 195)))]
    assert [one["screenshot"] for one in said] == [True, False, True, False]
    assert [one["resent"] for one in said] == [True, True, False, False]


def test_a_manifest_of_origin_is_noticed_and_dropped(cleaner: Cleaner) -> None:
    """C2PA in a JPEG, a PNG, a WebP: only that it was there is kept."""
    box = b"\0\0\0\x48jumb\0\0\0\x28jumdc2pa" + MARK
    webp_body = saved("WEBP")[12:] + b"C2PA" + struct.pack("<I", len(box) + len(box) % 2) + box + b"\0" * (len(box) % 2)
    files = {
        "JPEG": PLAIN[:2] + segment(0xEB, b"JP\0\1\0\0\0\1" + box) + PLAIN[2:],
        "PNG": saved("PNG")[:33] + chunk(b"caBX", box) + saved("PNG")[33:],
        "WEBP": b"RIFF" + struct.pack("<I", len(webp_body) + 4) + b"WEBP" + webp_body,
    }
    for kind, data in files.items():
        cleaned = cleaner.clean_now(data)
        assert cleaned.facts["provenance"] and MARK not in cleaned.jpeg and not cleaner.clean_now(saved(kind)).facts["provenance"]


@pytest.mark.parametrize("stamp", ["Budi:Santo:so", "2024:99:99 08:30:00", "\u0662\u0660\u0662\u0664:11:17", "x" * 40])
def test_a_day_that_is_none_is_not_repeated(cleaner: Cleaner, stamp: str) -> None:
    """What stands where the capture day should be is not handed on."""
    made = Image.Exif()
    made.get_ifd(0x8769)[0x9003] = stamp
    out = io.BytesIO()
    scene((32, 32)).save(out, "JPEG", exif=made)
    taken = cleaner.clean_now(out.getvalue()).facts["taken"]
    assert taken == ""


def test_polyglots_come_out_as_pictures(cleaner: Cleaner) -> None:
    """A photo that is also an archive, a page or a script is only a photo afterwards."""
    for tail in (b"PK\3\4PENANDA", b"<script>PENANDA</script>", b"%PDF-1.4 PENANDA", b"#!/bin/sh\nPENANDA"):
        assert b"PENANDA" not in cleaner.clean_now(PLAIN + tail).jpeg
        assert b"PENANDA" not in cleaner.clean_now(PLAIN[:2] + segment(0xFE, tail) + PLAIN[2:]).jpeg


def test_a_decoder_that_never_ends_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU, wall clock and memory have their limits: whoever exceeds them dies, and the file is refused."""
    source = Path(decoder.__file__).read_text()
    for fault in ("while True: pass", "import time; time.sleep(60)", "hog = bytearray(2_000_000_000)", "os.kill(os.getpid(), 11)"):
        path = tmp_path / "decoder.py"
        limits = source.replace(
            "CPU_SECONDS, WALL_SECONDS = 900 * 1024 * 1024, 5, 8", "CPU_SECONDS, WALL_SECONDS = 900 * 1024 * 1024, 1, 2"
        )
        assert limits != source
        path.write_text(limits.replace("    parts, total = [], 0\n", f"    parts, total = [], 0\n    {fault}\n"))
        monkeypatch.setattr(evidence, "__file__", str(tmp_path / "evidence.py"))
        made, started = Cleaner(), time.monotonic()
        with pytest.raises(Refused, match="broken"):
            made.clean_now(PLAIN)
        made.close()
        assert time.monotonic() - started < 10


def test_a_killed_decoder_is_started_again(cleaner: Cleaner) -> None:
    """Whatever happens to the process, the next photo is cleaned."""
    cleaner.clean_now(PLAIN)
    for _ in range(2):
        assert cleaner._process is not None
        os.kill(cleaner._process.pid, signal.SIGKILL)
        cleaner._process.wait(10)
        assert cleaner.clean_now(PLAIN).facts["width"] == 64


def test_many_photos_at_once(cleaner: Cleaner) -> None:
    """Ten photos in a row from several callers, each gets its own back."""
    from concurrent.futures import ThreadPoolExecutor

    sizes = [(100 + 10 * number, 80) for number in range(10)]
    with ThreadPoolExecutor(5) as threads:
        done: list[Cleaned] = list(threads.map(lambda size: cleaner.clean_now(saved("JPEG", size)), sizes))
    assert [(one.facts["width"], one.facts["height"]) for one in done] == sizes


# --- what the child cannot do -------------------------------------------------------------------------------------------------------------

ATTEMPTS = {
    "read a file": "open('/etc/passwd').read()",
    "read the program": f"open({str(Path(decoder.__file__))!r}).read()",
    "write a file": "open('/tmp/netra-child', 'w')",
    "write to shared memory": "open('/dev/shm/netra-child', 'w')",
    "list a folder": "os.listdir('/')",
    "remove a file": "os.unlink({victim!r})",
    "rename a file": "os.rename({victim!r}, {victim!r} + 'x')",
    "make a folder": "os.mkdir({victim!r} + '.d')",
    "open a socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "duplicate a handle": "os.dup(job.fileno())",
    "make a pipe": "os.pipe()",
    "make a process": "os.fork() or os._exit(0)",
    "run a program": "os.execv('/bin/true', ['true'])",
    "become root": "os.setuid(0) if os.getuid() else 1 / 0",
    "kill its maker": "os.kill(os.getppid(), 9)",
    "take two gigabytes": "bytearray(2_000_000_000)",
    "raise its limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "follow another process": "open(f'/proc/{{os.getppid()}}/mem', 'rb')",
}


def test_the_child_can_do_nothing_but_decode(tmp_path: Path) -> None:
    """Every attempt to reach a file, the network, another process or more memory fails; the socket it was given works."""
    tmp_path.chmod(0o777)
    victim = tmp_path / "victim"
    victim.write_text("still here")
    victim.chmod(0o666)
    source = Path(decoder.__file__).read_text()
    tries = "".join(
        f"\n    try:\n        {code.format(victim=str(victim))}\n        report[{name!r}] = 'worked'\n"
        f"    except BaseException as error:\n        report[{name!r}] = type(error).__name__\n"
        for name, code in ATTEMPTS.items()
    )
    told = "    report = {}\n" + tries + "    head = json.dumps({'refused': '', 'report': report}).encode()\n"
    told += "    job.sendall(struct.pack('>II', len(head), 0) + head)\n    return\n"
    assert "    parts, total = [], 0\n" in source
    path = tmp_path / "decoder.py"
    path.write_text(source.replace("    parts, total = [], 0\n", told + "    parts, total = [], 0\n"))
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-I", path, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    job, given = socket.socketpair()
    socket.send_fds(ours, [b"j"], [given.fileno()])
    given.close()
    job.shutdown(socket.SHUT_WR)
    answer = evidence._all(job)
    for one in (ours, theirs, job):
        one.close()
    assert process.wait(10) == 0, "the child killed its maker"
    (size,) = struct.unpack(">I", answer[:4])
    report = json.loads(answer[8 : 8 + size])["report"]
    assert set(report) == set(ATTEMPTS)
    allowed = {name for name, outcome in report.items() if outcome == "worked"}
    assert not allowed, f"the child could {allowed}"
    assert victim.read_text() == "still here" and not list(tmp_path.glob("victim?*"))


def test_an_answer_of_a_taken_over_child_is_not_believed() -> None:
    """Garbage, lies about sizes, reasons nobody knows, facts nobody asked for, something that is no JPEG: all are a broken photo."""
    facts: dict[str, Any] = {"format": "PNG", "taken": "", "likeness": "0" * 16, "size": 1, "width": 1, "height": 1}
    facts |= dict.fromkeys(("camera", "place", "screenshot", "resent", "provenance"), False)
    facts |= dict.fromkeys(("original_sha256", "clean_sha256"), "a" * 64)
    head = json.dumps(facts).encode()

    def answer(head: bytes, body: bytes, size: int | None = None) -> bytes:
        return struct.pack(">II", len(head), len(body) if size is None else size) + head + body

    good = answer(head, b"\xff\xd8\xff\xe0")
    assert evidence._read(good).facts == facts
    bad = [b"", b"\0" * 7, good[:-1], good + b"x", answer(b"{", b"\xff\xd8\xff"), answer(b"[1]", b"\xff\xd8\xff"), answer(head, b"<html>")]
    bad += [
        answer(head, b"\xff\xd8\xff", 99),
        answer(b'{"refused": "../../etc"}', b""),
        answer(b'{"refused": ["kind"]}', b""),
        b"\xff" * 64,
    ]
    lies = ({"gps": "5.1"}, {"taken": "Budi S."}, {"camera": "Budi"}, {"width": True}, {"size": -1}, {"format": "EXE"}, {"likeness": "zz"})
    bad += [answer(json.dumps(facts | {"original_sha256": "x" * 64}).encode(), b"\xff\xd8\xff")]
    bad += [answer(json.dumps(facts | lie).encode(), b"\xff\xd8\xff") for lie in lies]
    bad += [answer(json.dumps({name: facts[name] for name in facts if name != "likeness"}).encode(), b"\xff\xd8\xff")]
    for one in bad:
        with pytest.raises(Refused, match="broken"):
            evidence._read(one)


def test_a_flood_of_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child cannot fill this process."""
    monkeypatch.setattr(evidence, "MAX_ANSWER", 1000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(bytes(5000))
        assert evidence._all(ours) == b""
