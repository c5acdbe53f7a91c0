"""Two-word aliases of cases for the public notice page: pleasant, neutral, and unrelated to anything."""

from __future__ import annotations

import secrets

FIRST = (
    "angin awan bukit bunga danau daun embun fajar gerimis hutan hujan jalan jembatan kabut kebun kolam langit ladang laut lembah "
    "mata_air matahari mega muara musim nyala ombak padi pagi pantai pasir pelangi perahu pohon pulau ranting rawa rumput samudra sawah "
    "senja sungai sumur taman tanjung tebing teluk telaga titik_air"
).split()
SECOND = (
    "abadi baru bening biru cerah damai dalam dini emas gembira hangat hening hijau indah jauh jernih kecil kuning lapang lembut luas "
    "lurus manis merah muda nyaman panjang perak pertama putih rindang ramah sejuk sepi sunyi segar tenang teduh tegak terang tinggi "
    "timur utara ungu wangi barat selatan lestari sederhana"
).split()


def new_alias() -> str:
    """Two random words; with a number when that makes them rarer than the words alone."""
    return f"{secrets.choice(FIRST).replace('_', ' ')} {secrets.choice(SECOND)} {secrets.randbelow(900) + 100}"
