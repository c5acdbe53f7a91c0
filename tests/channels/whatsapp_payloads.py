"""Tables: what Twilio posts and the message it stands for; what the bot says and the requests that say it.

The forms have the shape of real ones: every parameter that Twilio documents or has been seen to send stands in one of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bot.messages import Address, Attachment, Button, Inbound, Outbound, Span

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
SID = "SM0123456789abcdef0123456789abcdef"
MEDIA = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/MM0123456789abcdef0123456789abcdef/Media"
ME = "ME0123456789abcdef0123456789abcde"
BUDI = "whatsapp:+6281234567890"

PLAIN = {
    "SmsMessageSid": SID,
    "NumMedia": "0",
    "ProfileName": "Budi",
    "MessageType": "text",
    "SmsSid": SID,
    "WaId": "6281234567890",
    "SmsStatus": "received",
    "Body": "Halo",
    "To": "whatsapp:+6281100000000",
    "NumSegments": "1",
    "ReferralNumMedia": "0",
    "MessageSid": SID,
    "AccountSid": ACCOUNT,
    "ChannelMetadata": '{"type":"whatsapp","data":{"context":{"ProfileName":"Budi","WaId":"6281234567890"}}}',
    "From": BUDI,
    "ApiVersion": "2010-04-01",
    "ExternalUserId": "whatsapp:ID.1234567890123456",
}


def form(**changes: str | None) -> dict[str, str]:
    """A plain text message's form with some parameters changed; None takes one out."""
    return {name: value for name, value in {**PLAIN, **changes}.items() if value is not None}


def media(*content_types: str, body: str = "", **changes: str | None) -> dict[str, str]:
    """A form with files of these types."""
    files: dict[str, str | None] = {"NumMedia": str(len(content_types)), "Body": body, "MessageType": "image"}
    for number, content_type in enumerate(content_types):
        files |= {f"MediaUrl{number}": f"{MEDIA}/{ME}{number}", f"MediaContentType{number}": content_type}
    return form(**(files | changes))


def tapped(payload: str, label: str, **changes: str | None) -> dict[str, str]:
    """A form of a tapped button."""
    reply = {"ButtonText": label, "ButtonPayload": payload, "ButtonType": "REPLY", "MessageType": "button", "Body": label}
    return form(**({**reply, "OriginalRepliedMessageSid": "SM" + "f" * 32, "OriginalRepliedMessageSender": PLAIN["To"]} | changes))


def picked(payload: str, label: str, detail: str = "", **changes: str | None) -> dict[str, str]:
    """A form of a picked row."""
    reply = {"ListId": payload, "ListTitle": label, "ListDescription": detail, "MessageType": "interactive", "Body": label}
    return form(**(reply | changes))


def message(text: str = "", *, sender: str = BUDI, sid: str = SID, button: str = "", sources: int = 0, refused: str = "") -> Inbound:
    """The message that is expected."""
    attachments = tuple(Attachment(source=f"{MEDIA}/{ME}{number}") for number in range(sources))
    if refused:
        attachments += (Attachment(refused=refused),)
    return Inbound(Address("whatsapp", sender), sid, text=text, button=button, attachments=attachments, message_id=sid)


AD = {
    "ReferralBody": "Pilkada bersih",
    "ReferralHeadline": "Lapor",
    "ReferralSourceId": "120200000000000000",
    "ReferralSourceType": "ad",
    "ReferralSourceUrl": "https://fb.me/xyz",
    "ReferralMediaId": "1",
    "ReferralMediaContentType": "image/jpeg",
    "ReferralMediaUrl": "https://scontent.example/x.jpg",
    "ReferralNumMedia": "1",
    "ReferralCtwaClid": "AfabcDEF",
}
PLACE = {"Latitude": "-6.200000", "Longitude": "106.816666", "MessageType": "location", "Body": ""}
LONG = "Kepala dinas membagikan kaus. " * 130

IN: list[tuple[str, dict[str, str], Inbound | None]] = [
    # --- words
    ("plain text", form(), message("Halo")),
    ("question", form(Body="boleh tidak saya like postingan calon?"), message("boleh tidak saya like postingan calon?")),
    ("spaces are the person's own", form(Body="  Halo \n"), message("  Halo \n")),
    ("several lines", form(Body="Satu\nDua\r\nTiga"), message("Satu\nDua\r\nTiga")),
    ("emoji", form(Body="🙏🏽👩‍⚖️"), message("🙏🏽👩‍⚖️")),
    ("Javanese script", form(Body="ꦲꦏ꧀ꦱꦫꦗꦮ"), message("ꦲꦏ꧀ꦱꦫꦗꦮ")),
    ("Arabic, right to left", form(Body="السلام عليكم"), message("السلام عليكم")),
    ("marks of the person", form(Body="*tebal* _miring_ ```kode```"), message("*tebal* _miring_ ```kode```")),
    ("markup stays words", form(Body="<b>&amp;</b>"), message("<b>&amp;</b>")),
    ("plus, percent, equals", form(Body="a+b=100% & c"), message("a+b=100% & c")),
    ("a number", form(Body="2"), message("2")),
    ("a receipt code goes on as it is", form(Body="12345 67890 12345 67890"), message("12345 67890 12345 67890")),
    ("a long text", form(Body=LONG, NumSegments="3"), message(LONG)),
    ("a slash word", form(Body="/start"), message("/start")),
    ("STOP is ordinary text", form(Body="STOP"), message("STOP")),
    ("BERHENTI is ordinary text", form(Body="BERHENTI"), message("BERHENTI")),
    ("BATAL is ordinary text", form(Body="batal"), message("batal")),
    ("SELESAI is ordinary text", form(Body="SELESAI"), message("SELESAI")),
    ("a link", form(Body="https://contoh.id/x?a=1#b"), message("https://contoh.id/x?a=1#b")),
    ("a sentence with NUL", form(Body="a\x00b"), message("a\x00b")),
    # --- who
    ("business-scoped id in From", form(From="whatsapp:ID.abc123", WaId=None), message("Halo", sender="whatsapp:ID.abc123")),
    (
        "business-scoped id of digits",
        form(From="whatsapp:ID.1234567890123456", WaId=None, ProfileName=None),
        message("Halo", sender="whatsapp:ID.1234567890123456"),
    ),
    ("longest business-scoped id", form(From="whatsapp:ID." + "a1" * 64, WaId=None), message("Halo", sender="whatsapp:ID." + "a1" * 64)),
    (
        "a number of another country",
        form(From="whatsapp:+14155550123", WaId="14155550123"),
        message("Halo", sender="whatsapp:+14155550123"),
    ),
    ("no ExternalUserId yet", form(ExternalUserId=None), message("Halo")),
    ("WaId differs from From", form(WaId="628999"), message("Halo")),
    ("cities are dropped", form(FromCity="Jakarta", FromCountry="ID", FromZip="10110", ToCity="", ToState=""), message("Halo")),
    ("a name with markup is dropped", form(ProfileName="<script>alert(1)</script>"), message("Halo")),
    ("from an advertisement", form(**AD), message("Halo")),
    ("forwarded", form(Forwarded="true"), message("Halo")),
    ("often forwarded", form(FrequentlyForwarded="true"), message("Halo")),
    (
        "an answer to an earlier message",
        form(OriginalRepliedMessageSid="SM" + "1" * 32, OriginalRepliedMessageSender=BUDI),
        message("Halo"),
    ),
    ("through a messaging service", form(MessagingServiceSid="MG" + "2" * 32), message("Halo")),
    ("parameters of tomorrow", form(SomethingNew="1", Another=""), message("Halo")),
    ("only the deprecated id", form(MessageSid=None), message("Halo")),
    ("only the oldest id", form(MessageSid=None, SmsMessageSid=None), message("Halo")),
    # --- taps
    ("a button", tapped("a1b2c3.4.0", "Ya"), message("Ya", button="a1b2c3.4.0")),
    ("a button with a step of many turns", tapped("a1b2c3.1234.12", "Kembali"), message("Kembali", button="a1b2c3.1234.12")),
    ("a button with a command", tapped("/lapor", "Lapor"), message("Lapor", button="/lapor")),
    ("a command with an argument", tapped("/tanya like-calon", "Baca"), message("Baca", button="/tanya like-calon")),
    ("a button without words", tapped("a1b2c3.4.1", "", Body=None), message("", button="a1b2c3.4.1")),
    ("a button of another template", tapped("Ya, saya setuju!", "Ya"), message("Ya")),
    ("another template's payload without words", tapped("Saya setuju", "", Body=""), message("Saya setuju")),
    ("an action button", tapped("cta_1", "Buka", ButtonType="ACTION"), message("Buka")),
    ("a payload that tries to be markup", tapped("<b>.1.1", "x"), message("x")),
    ("a row of a list", picked("a1b2c3.5.7", "Netralitas"), message("Netralitas", button="a1b2c3.5.7")),
    ("a row with a second line", picked("a1b2c3.5.2", "Lapor", "Anonim"), message("Lapor", button="a1b2c3.5.2")),
    ("a row without words", picked("a1b2c3.5.9", "", Body=None), message("", button="a1b2c3.5.9")),
    ("a form of WhatsApp Flows", form(Body="", MessageType="interactive", FlowData="{}"), message(refused="other")),
    # --- files
    ("a photo", media("image/jpeg"), message(sources=1)),
    ("a photo with words", media("image/jpeg", body="di lapangan"), message("di lapangan", sources=1)),
    ("a photo sent as a file", media("image/png", MessageType="document"), message(sources=1)),
    ("a type with parameters", media("IMAGE/JPEG; charset=binary"), message(sources=1)),
    ("a sticker", media("image/webp", MessageType="sticker"), message(sources=1)),
    ("three photos in one message", media("image/jpeg", "image/png", "image/webp"), message(sources=3)),
    ("a voice message", media("audio/ogg", MessageType="audio"), message(refused="voice")),
    ("a voice message with codec", media("audio/ogg; codecs=opus", MessageType="audio"), message(refused="voice")),
    ("music", media("audio/mpeg", MessageType="audio"), message(refused="voice")),
    ("ogg as an application", media("application/ogg"), message(refused="voice")),
    ("a video", media("video/mp4", MessageType="video"), message(refused="video")),
    ("an old phone's video", media("video/3gpp"), message(refused="video")),
    ("a moving picture", media("video/mp4", body="GIF"), message("GIF", refused="video")),
    ("a PDF", media("application/pdf", MessageType="document"), message(refused="document")),
    (
        "a Word file",
        media("application/vnd.openxmlformats-officedocument.wordprocessingml.document", body="surat.docx"),
        message("surat.docx", refused="document"),
    ),
    ("a text file", media("text/plain"), message(refused="document")),
    ("an archive", media("application/zip"), message(refused="document")),
    ("unknown bytes", media("application/octet-stream"), message(refused="document")),
    ("a contact", media("text/vcard", MessageType="contacts"), message(refused="contact")),
    ("a contact, old type", media("text/x-vcard"), message(refused="contact")),
    ("a contact, directory", media("text/directory"), message(refused="contact")),
    ("a model", media("model/gltf+json"), message(refused="other")),
    ("a file without type", media(""), message(refused="other")),
    ("a count without a file", form(NumMedia="1", Body=""), message(refused="other")),
    ("a count that is no number", form(NumMedia="banyak", Body=""), message(refused="other")),
    ("a file that was not counted", media("image/jpeg", NumMedia="0"), message(sources=1)),
    ("no count at all", form(NumMedia=None), message("Halo")),
    # --- places and the rest
    ("a place", form(**PLACE), message(refused="location")),
    ("a place with a name", form(**{**PLACE, "Address": "Jl. Merdeka 1", "Label": "Kantor Bupati"}), message(refused="location")),
    ("a live place with words", form(**{**PLACE, "Body": "saya di sini"}), message("saya di sini", refused="location")),
    ("something that WhatsApp cannot pass on", form(Body="", MessageType="unsupported"), message(refused="other")),
    ("a reaction without words", form(Body="", MessageType="reaction"), message(refused="other")),
    ("no body at all", form(Body=None), message(refused="other")),
    # --- not ours
    ("an SMS", form(From="+6281234567890"), None),
    ("another channel", form(From="messenger:123"), None),
    ("nobody", form(From=None), None),
    ("only a prefix", form(From="whatsapp:"), None),
    ("without an id", form(MessageSid=None, SmsMessageSid=None, SmsSid=None), None),
]


# --- what the bot says ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One request: a text, or a content of a kind with its words in order."""

    body: str = ""
    kind: str = ""
    words: tuple[str, ...] = ()

    def fits(self, request: dict[str, str], contents: dict[str, dict[str, Any]]) -> bool:
        """Whether a request is this one."""
        if not self.kind:
            return request.get("Body") == self.body and "ContentSid" not in request
        content = contents[request["ContentSid"]]
        given = json.loads(request["ContentVariables"])
        return self.kind in content["types"] and tuple(given[str(number)] for number in range(1, len(given) + 1)) == self.words


def says(*spans: Span | str, buttons: tuple[Button, ...] = (), **more: Any) -> Outbound:
    """A message of the bot."""
    return Outbound(tuple(span if isinstance(span, Span) else Span(span) for span in spans), buttons, **more)


def choices(*labels: str, detail: str = "") -> tuple[Button, ...]:
    """Buttons with tokens as a conversation gives them."""
    return tuple(Button(f"a1b2c3.1.{number}", label, detail) for number, label in enumerate(labels))


YES_NO = choices("Ya", "Tidak")
FIVE = choices("Lapor", "Tanya", "Kuis", "Langganan", "Privasi")
TWELVE = choices(*(f"Pilihan {number}" for number in range(1, 13)))
SENTENCE = "Kalimat ini panjangnya lima puluh huruf, pas sekali. "
QUICK, PICKER = "twilio/quick-reply", "twilio/list-picker"


def lines(*labels: str) -> str:
    """The numbered lines that always stand in the text."""
    return "\n\n" + "\n".join(f"{number}. {label}" for number, label in enumerate(labels, start=1))


OUT: list[tuple[str, Outbound, list[Asked]]] = [
    ("plain words", says("Halo"), [Asked("Halo")]),
    ("bold", says(Span("DILARANG", "bold"), ": menyukai"), [Asked("*DILARANG*: menyukai")]),
    ("italic", says(Span("contoh", "italic")), [Asked("_contoh_")]),
    ("code", says("Kode: ", Span("1234 5678", "code")), [Asked("Kode: ```1234 5678```")]),
    ("marks hug their words", says(Span(" tebal \n", "bold"), "x"), [Asked(" *tebal* \nx")]),
    ("marks end with the line", says(Span("satu\n\ndua", "bold")), [Asked("*satu*\n\n*dua*")]),
    ("no marks around a mark", says(Span("2*3", "bold")), [Asked("2*3")]),
    ("people's words stay unmarked", says("Anda menulis: ", Span("*saya*")), [Asked("Anda menulis: *saya*")]),
    ("an empty message", says(""), []),
    (
        "two buttons",
        says("Benar?", buttons=YES_NO),
        [Asked(kind=QUICK, words=("Benar?" + lines("Ya", "Tidak"), "Ya", "a1b2c3.1.0", "Tidak", "a1b2c3.1.1"))],
    ),
    ("one button", says("Lanjut?", buttons=choices("Ya")), [Asked(kind=QUICK, words=("Lanjut?" + lines("Ya"), "Ya", "a1b2c3.1.0"))]),
    (
        "an apostrophe",
        says("Jum'at?", buttons=choices("Jum'at")),
        [Asked(kind=QUICK, words=("Jum'at?" + lines("Jum'at"), "Jum'at", "a1b2c3.1.0"))],
    ),
    (
        "a long label is cut on the button and whole in the text",
        says("Apa?", buttons=choices("Memakai kaus bergambar calon", "Lain")),
        [
            Asked(
                kind=QUICK,
                words=("Apa?" + lines("Memakai kaus bergambar calon", "Lain"), "1. Memakai kaus…", "a1b2c3.1.0", "2. Lain", "a1b2c3.1.1"),
            )
        ],
    ),
    (
        "buttons that look alike when cut are told apart by their numbers",
        says("Apa?", buttons=choices("Memakai kaus bergambar calon", "Memakai kaus bergambar partai")),
        [
            Asked(
                kind=QUICK,
                words=(
                    "Apa?" + lines("Memakai kaus bergambar calon", "Memakai kaus bergambar partai"),
                    "1. Memakai kaus…",
                    "a1b2c3.1.0",
                    "2. Memakai kaus…",
                    "a1b2c3.1.1",
                ),
            )
        ],
    ),
    (
        "five choices are a list",
        says("Menu", buttons=FIVE),
        [
            Asked(
                kind=PICKER,
                words=(
                    "Menu" + lines("Lapor", "Tanya", "Kuis", "Langganan", "Privasi"),
                    "1-5",
                    *(word for button in FIVE for word in (button.label, button.token)),
                ),
            )
        ],
    ),
    (
        "four choices with second lines",
        says("Menu", buttons=choices("A", "B", "C", "D", detail="tentang")),
        [
            Asked(
                kind=PICKER,
                words=(
                    "Menu" + lines("A", "B", "C", "D"),
                    "1-4",
                    *(word for number, label in enumerate("ABCD") for word in (label, f"a1b2c3.1.{number}", "tentang")),
                ),
            )
        ],
    ),
    ("twelve choices are numbers", says("Pilih", buttons=TWELVE), [Asked("Pilih" + lines(*(button.label for button in TWELVE)))]),
    ("placeholders are never sent as variables", says("{{1}}?", buttons=choices("Ya")), [Asked("{{1}}?" + lines("Ya"))]),
    (
        "a long text in two, cut at a paragraph",
        says((SENTENCE * 20).strip() + "\n\n" + (SENTENCE * 20).strip()),
        [Asked((SENTENCE * 20).strip()), Asked((SENTENCE * 20).strip())],
    ),
    (
        "a long text, buttons under its end",
        says((SENTENCE * 18).strip() + "\n\n" + (SENTENCE * 4).strip(), buttons=choices("Ya")),
        [
            Asked((SENTENCE * 18).strip()),
            Asked(kind=QUICK, words=((SENTENCE * 4).strip() + lines("Ya"), "Ya", "a1b2c3.1.0")),
        ],
    ),
    (
        "three buttons",
        says("Apa?", buttons=choices("A", "B", "C")),
        [Asked(kind=QUICK, words=("Apa?" + lines("A", "B", "C"), "A", "a1b2c3.1.0", "B", "a1b2c3.1.1", "C", "a1b2c3.1.2"))],
    ),
    (
        "ten rows",
        says("Apa?", buttons=TWELVE[:10]),
        [
            Asked(
                kind=PICKER,
                words=(
                    "Apa?" + lines(*(button.label for button in TWELVE[:10])),
                    "1-10",
                    *(word for button in TWELVE[:10] for word in (button.label, button.token)),
                ),
            )
        ],
    ),
    (
        "second lines only where there are some",
        says("Apa?", buttons=(*choices("A", "B", "C", detail="x"), Button("/batal", "Batal"))),
        [
            Asked(
                kind=PICKER,
                words=(
                    "Apa?" + lines("A", "B", "C", "Batal"),
                    "1-4",
                    *("A", "a1b2c3.1.0", "x", "B", "a1b2c3.1.1", "x", "C", "a1b2c3.1.2", "x", "Batal", "/batal"),
                ),
            )
        ],
    ),
    (
        "two buttons with one token become numbers",
        says("Apa?", buttons=(Button("a", "A"), Button("a", "B"))),
        [Asked("Apa?" + lines("A", "B"))],
    ),
    (
        "a label of two lines",
        says("Apa?", buttons=choices("A\nB")),
        [Asked(kind=QUICK, words=("Apa?" + lines("A\nB"), "A B", "a1b2c3.1.0"))],
    ),
    ("a message with a receipt code is text", says("Kode: ", Span("1234", "code"), secret=True), [Asked("Kode: ```1234```")]),
    ("a document leaves its words", says("Ekspor", document="x.csv"), [Asked("Ekspor")]),
    ("wishes to be forgotten with words", says("Dihapus.", forget=True), [Asked("Dihapus.")]),
    ("signs of two units are counted so", says("😀" * 800), [Asked("😀" * 800)]),
    ("and are cut so", says("😀" * 801), [Asked("😀" * 800), Asked("😀")]),
    ("marks count", says(Span("x" * 1599, "bold")), [Asked(f"*{'x' * 1598}*"), Asked("*x*")]),
    ("nothing but marks becomes plain", says(*[Span("x", "code") for _ in range(1600)]), [Asked("x" * 1600)]),
    ("quotes and backslashes", says('"a\\b"', buttons=choices('"')), [Asked(kind=QUICK, words=('"a\\b"' + lines('"'), '"', "a1b2c3.1.0"))]),
]
