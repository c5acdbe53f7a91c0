"""Every request that the WhatsApp channel makes, judged by a table of Twilio's published OpenAPI documents (twilio-oai, api v2010 and
content v1, April 2026; limits from the pages of the resources)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from bot.messages import Button, Outbound, Span
from tests.channels.fake_twilio import FakeTwilio
from tests.channels.test_whatsapp import ADDRESS, missed, photo_from, running, until
from tests.channels.whatsapp_payloads import BUDI, FIVE, OUT, YES_NO, says

pytestmark = pytest.mark.anyio

HEX = "[0-9a-fA-F]{32}"
PHONE = r"(?:whatsapp:)?\+[1-9]\d{6,14}|whatsapp:[A-Z]{2}\.[A-Za-z0-9]{1,128}"
URI = r"https?://[A-Za-z0-9.-]+(?::\d+)?/\S*"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
FLAG = "true|false"
SIZE, NUMBER = r"[1-9]\d{0,2}|1000", r"\d{1,9}"
PAGES = {"PageSize": SIZE, "Page": NUMBER, "PageToken": r"\S+"}
MESSAGE = {
    "To": PHONE, "StatusCallback": URI, "ApplicationSid": f"AP{HEX}", "MaxPrice": r"\d+(?:\.\d+)?", "ProvideFeedback": FLAG,
    "Attempt": NUMBER, "ValidityPeriod": NUMBER, "ForceDelivery": FLAG, "ContentRetention": "retain|discard",
    "AddressRetention": "retain|obfuscate", "SmartEncoded": FLAG, "PersistentAction": ".*", "TrafficType": "free", "ShortenUrls": FLAG,
    "ScheduleType": "fixed", "SendAt": TIME, "SendAsMms": FLAG, "ContentVariables": r"(?s)\{.*\}", "RiskCheck": "enable|disable",
    "From": PHONE, "MessagingServiceSid": f"MG{HEX}", "Body": r"(?s).{1,1600}", "MediaUrl": URI, "ContentSid": f"HX{HEX}",
}  # fmt: skip
"""CreateMessage: every parameter with what it may hold."""

ACCOUNT = "/2010-04-01/Accounts/{AccountSid}"
OPERATIONS: Mapping[tuple[str, str], tuple[Mapping[str, str], frozenset[str]]] = {
    ("POST", f"{ACCOUNT}/Messages.json"): (MESSAGE, frozenset({"To"})),
    ("GET", f"{ACCOUNT}/Messages.json"): (
        {"To": PHONE, "From": PHONE, "DateSent": TIME, "DateSent<": TIME, "DateSent>": TIME, **PAGES},
        frozenset(),
    ),
    ("POST", f"{ACCOUNT}/Messages/{{Sid}}.json"): ({"Body": "", "Status": "canceled"}, frozenset()),
    ("DELETE", f"{ACCOUNT}/Messages/{{Sid}}.json"): ({}, frozenset()),
    ("GET", f"{ACCOUNT}/Messages/{{MessageSid}}/Media.json"): (
        {"DateCreated": TIME, "DateCreated<": TIME, "DateCreated>": TIME, **PAGES},
        frozenset(),
    ),
    # Without ".json" the medium itself (page of the Media resource); not in the OpenAPI document.
    ("GET", f"{ACCOUNT}/Messages/{{MessageSid}}/Media/{{MediaSid}}"): ({}, frozenset()),
    ("DELETE", f"{ACCOUNT}/Messages/{{MessageSid}}/Media/{{MediaSid}}.json"): ({}, frozenset()),
    ("GET", f"{ACCOUNT}.json"): ({}, frozenset()),
    ("GET", "/v1/Content"): (PAGES, frozenset()),
    ("POST", "/v1/Content"): ({}, frozenset()),
}
"""The operations of the API with their parameters and which of them are required."""
IDS = {"AccountSid": f"AC{HEX}", "Sid": f"(?:SM|MM){HEX}", "MessageSid": f"(?:SM|MM){HEX}", "MediaSid": f"ME{HEX}"}
CONTENT = {
    "twilio/quick-reply": ("actions", {"body", "actions"}, {"type", "title"}, {"type", "title", "id"}),
    "twilio/list-picker": ("items", {"body", "button", "items"}, {"id", "item"}, {"id", "item", "description"}),
}
"""ContentCreateRequest: the parts of a type, and of a row the required and the allowed ones (additionalProperties: false)."""


def judged(method: str, path: str, content_type: str, body: bytes) -> str:
    """The operation that a request is; raises `AssertionError` with what is wrong with it."""
    where = urlsplit(path)
    operation, template = _operation(method, unquote(where.path))
    known, required = operation
    pairs = parse_qsl(where.query, keep_blank_values=True, strict_parsing=bool(where.query))
    if method != "POST":
        assert not body, "a body where none belongs"
    elif template == "/v1/Content":
        assert content_type == "application/json"
        _content(json.loads(body))
    else:
        assert content_type == "application/x-www-form-urlencoded" and not pairs
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
    given = dict(pairs)
    assert len(given) == len(pairs), "a parameter stands twice"
    assert required <= set(given), f"{required - set(given)} missing"
    for name, value in given.items():
        assert name in known, f"unknown parameter {name}"
        assert re.fullmatch(known[name], value), f"{name} may not be {value!r}"
    if template.endswith("/Messages.json") and method == "POST":
        assert ("From" in given) != ("MessagingServiceSid" in given), "one sender"
        assert len({"Body", "ContentSid", "MediaUrl"} & set(given)) == 1, "one content"
        assert "ContentSid" in given or "ContentVariables" not in given
        values = json.loads(given.get("ContentVariables", "{}"))
        assert len(values) <= 100 and all(isinstance(value, str) and value for value in values.values())
    return f"{method} {template}"


def _operation(method: str, path: str) -> tuple[tuple[Mapping[str, str], frozenset[str]], str]:
    for (verb, template), operation in OPERATIONS.items():
        pattern = re.sub(r"\\{(\w+)\\}", lambda match: f"(?:{IDS[match[1]]})", re.escape(template))
        if verb == method and re.fullmatch(pattern, path):
            return operation, template
    raise AssertionError(f"no such operation: {method} {path}")


def _content(content: Any) -> None:
    assert {"language", "types"} <= set(content) <= {"friendly_name", "variables", "language", "types"}
    assert all(isinstance(word, str) for word in (content["language"], content.get("friendly_name", "")))
    assert all(isinstance(value, str) for value in content.get("variables", {}).values())
    for kind, parts in content["types"].items():
        rows, whole, needed, allowed = CONTENT[kind]
        assert set(parts) == whole
        for row in parts[rows]:
            assert needed <= set(row) <= allowed and all(isinstance(value, str) for value in row.values())
            assert row.get("type", "QUICK_REPLY") == "QUICK_REPLY"


@pytest.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    """Twilio, which must refuse nothing here either."""
    async with FakeTwilio() as twilio:
        yield twilio
        assert not twilio.refusals


async def test_every_request_is_one_of_the_published_api(fake: FakeTwilio, tmp_path: Path) -> None:
    """Templates, texts, buttons, lists, approved templates, photos, deletions, sweeps and the doctor: all as published."""
    fake.page_size = 4
    options: dict[str, Any] = {"erase_after": 0.05, "erase_fetched_after": 0.05, "erase_delays": (0.05,)}
    async with running(fake, tmp_path, public_url="https://bot.example", **options) as bot:
        await bot.channel.sync_templates()
        for _, outbound, _ in OUT:
            await bot.send(outbound)
        for choices in (YES_NO, FIVE, [Button(f"a.1.{number}", f"Pilihan {number}", f"Kata {number}'s") for number in range(10)]):
            await bot.send(says('Pilih & "sebut" = 1+1 \U0001f642 ;%\n\nLagi', buttons=tuple(choices)))
        await bot.send(Outbound((Span("Halo"),), template=(next(iter(fake.contents)), "satu", "dua", "tiga")))
        await bot.send(says("x" * 5000))
        fake.drops_next(acting=True)
        await bot.send(says("dicari"))
        fake.ahead = timedelta(minutes=-10)
        await missed(fake, fake.person(BUDI), "foto", ("image/png", b"x"))
        fake.ahead = timedelta()
        assert [one.text async for one in bot.channel.sweep(datetime.now(UTC) - timedelta(hours=1))][-1] == "foto"
        attachment = await photo_from(bot)
        await bot.channel.fetch(attachment)
        await bot.channel.forget(ADDRESS, list(await bot.send(says("dihapus"))))
        assert await bot.channel.check() == ""
        await until(lambda: any(method == "DELETE" and "/Media/" in path for method, path, *_ in fake.raw))
        await until(lambda: len([1 for method, path, *_ in fake.raw if method == "DELETE" and "/Media/" not in path]) > 3)
        await bot.channel.stop()
        seen = {judged(*one) for one in fake.raw}
    assert seen == {f"{method} {template}" for method, template in OPERATIONS}


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (("PUT", "/2010-04-01/Accounts/AC{0}/Messages.json", "", b""), "no such operation"),
        (("GET", "/2010-04-01/Accounts/AC{0}/Messages.json?PageSize=1001", "", b""), "PageSize"),
        (("GET", "/2010-04-01/Accounts/AC{0}/Messages/SM12.json", "", b""), "no such operation"),
        (("POST", "/2010-04-01/Accounts/AC{0}/Messages.json", "application/x-www-form-urlencoded", b"Body=x"), "missing"),
    ],
)
def test_the_judge_is_strict(request_: tuple[str, str, str, bytes], complaint: str) -> None:
    """What is not published is refused."""
    method, path, kind, body = request_
    with pytest.raises(AssertionError, match=complaint):
        judged(method, path.replace("{0}", "0" * 32), kind, body)
