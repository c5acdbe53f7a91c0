"""A signed proof that a tip with this content came in on this day: one line that its sender can keep.

It names the alias, the day, and a hash of the content under a key that only the case's key gives. So the line alone tells nothing of the
content; whoever can open the case can show that the line belongs to it. It is signed by the key that signs the audit log.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from storage.cases import OpenCase
from storage.vault import CaseKey, keyed

WORD = "netra-bukti"


class BadProof(Exception):
    """A line that is no proof of this system; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a line says."""

    alias: str
    day: dt.date
    content: bytes


def content_of(key: CaseKey, tip: Mapping[str, Any], photos: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The hash of a tip's own words and photos, under a key of its case. Nothing that is added later changes it."""
    pictures = sorted(str(facts.get("clean_sha256", "")) for facts in photos.values())
    words = json.dumps([dict(tip), pictures], sort_keys=True, ensure_ascii=False).encode()
    return keyed(keyed(key.private, b"proof", b""), b"proof content", words)


def content_of_case(case: OpenCase, photos: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The same for an opened case, with what is known of all its photos."""
    first = next((entry.photos for entry in case.entries if entry.kind == "tip"), ())
    return content_of(case.key, case.tip, {name: photos[name] for name in first if name in photos})


def prove(signing_key: bytes, proof: Proof) -> str:
    """The signed line."""
    said = _said(proof)
    return f"{said} {_text(SigningKey(signing_key).sign(said.encode()).signature)}"


def read(line: str, public_key: bytes) -> Proof:
    """What a signed line says; raises `BadProof`."""
    parts = line.split()
    try:
        word, day, alias, content, signature = parts
        proof = Proof(alias.replace("_", " "), dt.date.fromisoformat(day), _bytes(content))
        if word != WORD:
            raise ValueError
        VerifyKey(public_key).verify(_said(proof).encode(), _bytes(signature))
    except ValueError as error:
        raise BadProof("This is not a line of proof, or a part of it is missing.") from error
    except BadSignatureError as error:
        raise BadProof("The signature does not fit: the line was changed, or it is not of this system.") from error
    return proof


def _said(proof: Proof) -> str:
    return f"{WORD} {proof.day.isoformat()} {proof.alias.replace(' ', '_')} {_text(proof.content)}"


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _bytes(words: str) -> bytes:
    return base64.urlsafe_b64decode(words + "=" * (-len(words) % 4))
