"""A photo as one reader sees it: small enough for the page, with that reader's name faintly across it."""

from __future__ import annotations

import io
import threading

from PIL import Image, ImageDraw, ImageFont

SMALL, LARGE = 480, 4096
"""Longest side in pixels: in a list, and alone."""

FAINT = 26
"""How strong the mark is, of 255: found by who looks for it, no hindrance to who looks at the picture."""

QUALITY = 85
_one = threading.Lock()


def marked(jpeg: bytes, name: str, side: int) -> bytes:
    """The photo with a reader's name on it (blocking: call it in a thread; one at a time, so that memory stays bounded).

    Only photos that this program drew itself come here, so that decoding them is no risk.
    """
    with _one, Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as stored:
        stored.draft("RGB", (side, side))
        picture = stored.convert("RGB")
        picture.thumbnail((side, side))
        mask = _mask(picture.size, name)
        picture.paste((255, 255, 255), (0, 0), mask)
        picture.paste((0, 0, 0), (1, 1), mask)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _mask(size: tuple[int, int], name: str) -> Image.Image:
    mask = Image.new("L", size, 0)
    height = max(12, max(size) // 40)
    font = ImageFont.load_default(height)
    draw = ImageDraw.Draw(mask)
    width = int(draw.textlength(name, font=font)) + 5 * height
    for row, top in enumerate(range(height, size[1], 6 * height)):
        for left in range(-(row % 2) * width // 2, size[0], width):
            draw.text((left, top), name, fill=FAINT, font=font)
    return mask
