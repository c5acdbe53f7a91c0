"""Finds what may be the writer's own identity in a text, so that they can take it out before anyone reads it."""

from __future__ import annotations

import re
from functools import lru_cache

KINDS = {"PHONE": "phone", "NIK": "nik", "EMAIL": "email", "NIP": "nip", "KK": "nik", "BANK_ACCOUNT": "account"}
NO_NAME = r"(?!(?:tidak|tdk|tak|gak|ga|nggak|jangan|jgn|mau|tolong|mohon|bukan|belum|di|not)\b|di\w+kan\b|disebut)"
ENDS_A_NAME = r"(?!(?:dan|yang|yg|dari|di|ke|mau|ingin|melihat|kerja|bekerja|saya|sy|guru|staf|pns|asn|and|i)\b)"
MY_NAME = re.compile(
    r"\b(?:nama\s+(?:saya|sy|aku|gue)(?:\s+(?:adalah|ialah|itu))?|(?:perkenalkan|kenalkan)[, ]+(?:nama\s+)?(?:saya|sy|aku)"
    rf"|saya\s+bernama|my\s+name\s+is)[\s:,]+{NO_NAME}(?P<name>[^\W\d_][\w'.]*(?:\s{ENDS_A_NAME}[^\W\d_][\w'.]*){{0,2}})",
    re.IGNORECASE,
)


@lru_cache(maxsize=64)  # a turn reads the same words again; few, since they are people's own
def find_identity(words: str) -> tuple[list[str], str]:
    """The kinds of identity that were found (phone, nik, email, nip, account, name) and the text with each replaced by "[dihapus]"."""
    from lokal import detect_pii

    found: list[tuple[int, int, str]] = [(match.start, match.end, KINDS[match.type]) for match in detect_pii(words) if match.type in KINDS]
    found.extend((match.start("name"), match.end("name"), "name") for match in MY_NAME.finditer(words))
    kinds: list[str] = []
    parts, at = [], 0
    for start, end, kind in sorted(found):
        if start < at:
            continue
        kinds.append(kind)
        parts.append(words[at:start] + "[dihapus]" + (" " if words[end - 1 : end].isspace() else ""))
        at = end
    return sorted(set(kinds)), "".join(parts) + words[at:]
