"""Security keys (WebAuthn): a second factor that no false page can ask for, because the browser tells the key which site it is on.

A challenge is not stored: it follows from the session's secret, the number of challenges used up and the five minutes it was made in. Each
is used up by its first answer, right or wrong. Signatures are checked outside of any transaction (`answered`, `made`), by py_webauthn.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, insert, or_, select, update

from storage.models import StaffKey, StaffSession
from storage.vault import keyed

if TYPE_CHECKING:  # staff knows this module
    from storage.staff import Account, Session

T = TypeVar("T")

CHALLENGE_SECONDS = 300
KEYS_AT_MOST = 8
NAME_AT_MOST = 40
RESPONSE_AT_MOST = 16_384
"""Characters of a browser's answer; one with an RSA key and a certificate takes about 6,000."""

ALGORITHMS = (-7, -8, -257)
"""COSE: ES256, EdDSA, RS256; what browsers' keys speak."""

FACTOR, REGISTER = b"factor", b"register"
"""What a challenge is for: an answer to one is never taken for the other."""


@dataclass(frozen=True, slots=True)
class SecurityKey:
    """A registered key."""

    id: bytes
    credential: bytes
    public_key: bytes
    counter: int
    name: str
    since: dt.date


@dataclass(frozen=True, slots=True)
class Site:
    """Where the panel is reached: scheme, host and port. Keys are bound to it."""

    origin: str

    @property
    def host(self) -> str:
        """The name to which keys are bound (WebAuthn: the rp id)."""
        return urlsplit(self.origin).hostname or ""

    @property
    def place(self) -> str:
        """Host and port, as a request names them."""
        return urlsplit(self.origin).netloc


def keys_of(connection: Connection, staff_id: bytes) -> tuple[SecurityKey, ...]:
    """The keys of an account, by name."""
    query = select(StaffKey.id, StaffKey.credential, StaffKey.public_key, StaffKey.counter, StaffKey.name, StaffKey.since)
    rows = connection.execute(query.where(StaffKey.staff_id == staff_id).order_by(StaffKey.name, StaffKey.id))
    return tuple(SecurityKey(*row) for row in rows)


def holders(connection: Connection) -> frozenset[bytes]:
    """The accounts that have a key."""
    return frozenset(connection.execute(select(StaffKey.staff_id).distinct()).scalars())


# --- what the browser is asked -------------------------------------------------------------------------------------------------------


def challenges(session: Session, purpose: bytes, now: int) -> tuple[bytes, bytes]:
    """The challenge of these five minutes, and the one of the five before, which is still taken."""
    bucket = now // CHALLENGE_SECONDS
    first, second = (
        keyed(session.challenge_key, b"challenge", b"%s|%d|%d" % (purpose, session.asked, number)) for number in (bucket, bucket - 1)
    )
    return first, second


def question(session: Session, site: Site, now: int) -> str:
    """What `navigator.credentials.get` is asked, as JSON with binary parts in base64url."""
    return json.dumps(
        {
            "challenge": _text(challenges(session, FACTOR, now)[0]),
            "rpId": site.host,
            "allowCredentials": [{"type": "public-key", "id": _text(key.credential)} for key in session.keys],
            "userVerification": "required",
            "timeout": CHALLENGE_SECONDS * 1000,
        }
    )


def new_question(session: Session, site: Site, now: int) -> str:
    """What `navigator.credentials.create` is asked, in the same form."""
    account = session.account
    return json.dumps(
        {
            "challenge": _text(challenges(session, REGISTER, now)[0]),
            "rp": {"id": site.host, "name": "Netra"},
            "user": {"id": _text(account.id), "name": account.name, "displayName": account.name},
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
            "excludeCredentials": [{"type": "public-key", "id": _text(key.credential)} for key in session.keys],
            "authenticatorSelection": {"userVerification": "required", "residentKey": "discouraged"},
            "attestation": "none",
            "timeout": CHALLENGE_SECONDS * 1000,
        }
    )


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


# --- what the browser answered: slow, outside of transactions ----------------------------------------------------------------------------


def answered(session: Session, site: Site, now: int, response: str) -> tuple[SecurityKey, int] | None:
    """The key of this account that signed the challenge, and its new counter; None for anything else."""
    from webauthn import verify_authentication_response  # takes half a second to load, and most requests never need it

    given = _parsed(response)
    key = next((key for key in session.keys if given is not None and _text(key.credential) == given.get("id")), None)
    if given is None or key is None or not _own(given, session.account):
        return None

    def verify(challenge: bytes) -> tuple[SecurityKey, int]:
        done = verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=key.counter,
            require_user_verification=True,
        )
        return key, done.new_sign_count

    return _first(verify, challenges(session, FACTOR, now))


def made(session: Session, site: Site, now: int, response: str) -> tuple[bytes, bytes, int] | None:
    """Credential, public key and counter of a new key that answered the challenge; None for anything else."""
    from webauthn import verify_registration_response
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    given = _parsed(response)
    if given is None:
        return None

    def verify(challenge: bytes) -> tuple[bytes, bytes, int]:
        done = verify_registration_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in ALGORITHMS],
        )
        return done.credential_id, done.credential_public_key, done.sign_count

    return _first(verify, challenges(session, REGISTER, now))


def _parsed(response: str) -> dict[str, Any] | None:
    if len(response) > RESPONSE_AT_MOST:
        return None
    try:
        given = json.loads(response)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _own(given: dict[str, Any], account: Account) -> bool:
    """Whether the key says it was made for this account, where it says so at all."""
    response = given.get("response")
    handle = response.get("userHandle") if isinstance(response, dict) else None
    return handle in (None, "", _text(account.id))


def _first(verify: Callable[[bytes], T], candidates: Sequence[bytes]) -> T | None:
    for challenge in candidates:
        try:
            return verify(challenge)
        except Exception:  # noqa: BLE001, S112 - whatever a hostile answer breaks in the parser, it is refused
            continue
    return None


# --- what is kept ------------------------------------------------------------------------------------------------------------------------


def use_challenge(connection: Connection, session: Session) -> bool:
    """Use the session's present challenges up, before the answer is looked at; False when another request was faster."""
    mine = StaffSession.id == session.id, StaffSession.asked == session.asked
    return connection.execute(update(StaffSession).where(*mine).values(asked=session.asked + 1)).rowcount == 1


def counted(connection: Connection, key: SecurityKey, counter: int) -> bool:
    """Take a key's new counter; False when the key is gone, or its counter has not grown: it was copied."""
    grown = StaffKey.id == key.id, or_(StaffKey.counter < counter, (StaffKey.counter == 0) & (counter == 0))
    return connection.execute(update(StaffKey).where(*grown).values(counter=counter)).rowcount == 1


def keep(connection: Connection, staff_id: bytes, name: str, new: tuple[bytes, bytes, int], today: dt.date) -> bool:
    """Register a key; False when it is registered already, or the account has as many as it may."""
    credential, public_key, counter = new
    if connection.execute(select(StaffKey.id).where(StaffKey.credential == credential)).first() is not None:
        return False
    if len(keys_of(connection, staff_id)) >= KEYS_AT_MOST:
        return False
    row = {"id": secrets.token_bytes(16), "staff_id": staff_id, "credential": credential, "public_key": public_key}
    connection.execute(insert(StaffKey).values(**row, counter=counter, name=name, since=today))
    return True


def forget(connection: Connection, staff_id: bytes, key_id: bytes) -> bool:
    """Remove one key of an account."""
    mine = StaffKey.id == key_id, StaffKey.staff_id == staff_id
    return connection.execute(delete(StaffKey).where(*mine)).rowcount == 1


def forget_all(connection: Connection, staff_id: bytes) -> int:
    """Remove every key of an account; how many there were."""
    return connection.execute(delete(StaffKey).where(StaffKey.staff_id == staff_id)).rowcount
