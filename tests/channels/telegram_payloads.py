"""Tables: what Telegram delivers and the message it stands for; what the bot says and the requests that say it.

The updates have the shape of real ones, with everything that identifies a person in them, so that the table also shows what is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.messages import Address, Attachment, Button, Inbound, Outbound, Span

Json = dict[str, Any]

CHAT = 5551234567
SITI: Json = {"id": CHAT, "is_bot": False, "first_name": "Siti", "last_name": "Aminah", "username": "siti_a", "language_code": "id"}
PRIVATE: Json = {"id": CHAT, "first_name": "Siti", "last_name": "Aminah", "username": "siti_a", "type": "private"}
GROUP: Json = {"id": -1001987654321, "title": "Warga RT 05", "type": "supergroup"}
SMALL_GROUP: Json = {"id": -4123456, "title": "Panitia", "type": "group", "all_members_are_administrators": True}
BOT: Json = {"id": 123456789, "is_bot": True, "first_name": "Netra", "username": "netra_test_bot"}
BUDI: Json = {"id": 88, "is_bot": False, "first_name": "Budi", "username": "budi"}
WHEN = 1731900000
ADDRESS = Address("telegram", str(CHAT))


@dataclass(frozen=True)
class Row:
    """One update and its message (None: nothing for us); `real` says that the library can read it too."""

    name: str
    update: Any
    inbound: Inbound | None
    real: bool = True


def message(**content: Any) -> Json:
    """A message of Siti in her private chat."""
    return {"message_id": 321, "from": SITI, "chat": PRIVATE, "date": WHEN} | content


def new(**content: Any) -> Json:
    """An update with such a message."""
    return {"update_id": 871234001, "message": message(**content)}


def edited(**content: Any) -> Json:
    """An update with such a message, edited."""
    return {"update_id": 871234002, "edited_message": message(edit_date=WHEN + 60, **content)}


def pressed(data: str = "a1b2c3.4.0", sender: Json = SITI, **changes: Any) -> Json:
    """A button under a message of the bot, pressed."""
    under = {
        "message_id": 320,
        "from": BOT,
        "chat": PRIVATE,
        "date": WHEN - 5,
        "text": "Di mana kejadiannya?",
        "reply_markup": {"inline_keyboard": [[{"text": "Ya", "callback_data": data}]]},
    }
    query = {"id": "23841234567890123", "from": sender, "message": under, "chat_instance": "-7781234567890", "data": data} | changes
    return {"update_id": 871234003, "callback_query": {name: value for name, value in query.items() if value is not None}}


def member(before: str, after: str, chat: Json = PRIVATE) -> Json:
    """The bot's standing in a chat has changed."""
    kicked = {"status": "kicked", "user": BOT, "until_date": 0}
    change = {
        "chat": chat,
        "from": SITI,
        "date": WHEN,
        "old_chat_member": kicked if before == "kicked" else {"status": before, "user": BOT},
        "new_chat_member": kicked if after == "kicked" else {"status": after, "user": BOT},
    }
    return {"update_id": 871234004, "my_chat_member": change}


def file(name: str, **more: Any) -> Json:
    """What every file has."""
    return {"file_id": name, "file_unique_id": "AgADunique", "file_size": 120_000} | more


def size(name: str, width: int, height: int, **more: Any) -> Json:
    """One size of a photo."""
    return file(name, width=width, height=height) | more


SIZES = [
    size("photo-s", 90, 67, file_size=1_300),
    size("photo-m", 320, 240, file_size=18_000),
    size("photo-y", 1280, 960, file_size=190_000),
]
VIDEO = file("video-1", width=640, height=360, duration=12, mime_type="video/mp4", file_name="rekaman.mp4")
PLACE = {"latitude": -7.25, "longitude": 112.75}


def said(text: str = "", **more: Any) -> Inbound:
    """A message as it is understood."""
    return Inbound(ADDRESS, more.pop("platform_id", "871234001"), text=text, language="id", message_id="321", **more)


def changed(text: str = "", **more: Any) -> Inbound:
    """An edited one."""
    return said(text, platform_id="871234002", edited=True, **more)


def refused(reason: str, text: str = "", **more: Any) -> Inbound:
    """One whose content is not taken."""
    return said(text, attachments=(Attachment(refused=reason),), **more)


def photo(source: str, text: str = "", **more: Any) -> Inbound:
    """One with a picture."""
    return said(text, attachments=(Attachment(source=source),), **more)


def doc(**more: Any) -> Json:
    """A message with a document."""
    return new(document=file("doc-1", **more))


def tapped(button: str = "a1b2c3.4.0", language: str = "id") -> Inbound:
    """A press as it is understood."""
    return Inbound(ADDRESS, "871234003", button=button, language=language, message_id="320")


INBOUND = [
    # --- words
    Row("text", new(text="Boleh tidak saya like postingan calon?"), said("Boleh tidak saya like postingan calon?")),
    Row("command", new(text="/lapor", entities=[{"offset": 0, "length": 6, "type": "bot_command"}]), said("/lapor")),
    Row("deep link", new(text="/start lapor", entities=[{"offset": 0, "length": 6, "type": "bot_command"}]), said("/start lapor")),
    Row("deep link to an entry", new(text="/start tanya-sosmed-like"), said("/start tanya-sosmed-like")),
    Row("command with the bot's name", new(text="/cek@netra_test_bot"), said("/cek@netra_test_bot")),
    Row("formatted", new(text="tebal", entities=[{"offset": 0, "length": 5, "type": "bold"}]), said("tebal")),
    Row("emoji", new(text="👍🏽 ok"), said("👍🏽 ok")),
    Row("javanese letters", new(text="ꦲꦏ꧀ꦱꦫ"), said("ꦲꦏ꧀ꦱꦫ")),
    Row("several lines", new(text="Camat datang\nke kampanye\n\nhari Senin"), said("Camat datang\nke kampanye\n\nhari Senin")),
    Row("longest text", new(text="a" * 4096), said("a" * 4096)),
    Row("markup as words", new(text="<b>bukan</b> & tebal"), said("<b>bukan</b> & tebal")),
    Row("half a character", new(text="rusak \ud83d di sini"), said("rusak \ufffd di sini"), real=False),
    Row(
        "a link with its preview", new(text="https://contoh.id/x", link_preview_options={"is_disabled": True}), said("https://contoh.id/x")
    ),
    Row("a reply", new(text="ini", reply_to_message=message(text="yang mana?", message_id=300)), said("ini")),
    Row("a quote", new(text="ini", quote={"text": "mana", "position": 5}), said("ini")),
    Row("an effect", new(text="ok", effect_id="5104841245755180586"), said("ok")),
    Row("through another bot", new(text="hasil", via_bot=BUDI | {"is_bot": True}), said("hasil")),
    Row("sent while away", new(text="nanti", is_from_offline=True), said("nanti")),
    Row("a field of tomorrow beside a text", new(text="halo", sender_tag="x"), said("halo")),
    # --- forwarded: the words stay, where they came from goes
    Row(
        "forwarded from a person",
        new(
            text="Lihat ini",
            forward_origin={"type": "user", "date": WHEN - 99, "sender_user": BUDI},
            forward_from=BUDI,
            forward_date=WHEN - 99,
        ),
        said("Lihat ini"),
    ),
    Row(
        "forwarded from somebody hidden",
        new(text="Lihat", forward_origin={"type": "hidden_user", "date": WHEN - 99, "sender_user_name": "Pak Camat"}),
        said("Lihat"),
    ),
    Row(
        "forwarded from a channel",
        new(
            photo=SIZES,
            caption="Undangan",
            forward_origin={"type": "channel", "date": WHEN - 99, "chat": GROUP | {"type": "channel"}, "message_id": 7},
        ),
        photo("photo:photo-y", "Undangan"),
    ),
    # --- language
    Row(
        "english",
        {"update_id": 871234001, "message": message(text="hi", **{"from": SITI | {"language_code": "en"}})},
        Inbound(ADDRESS, "871234001", text="hi", language="en", message_id="321"),
    ),
    Row(
        "no language",
        {"update_id": 871234001, "message": message(text="hi", **{"from": {"id": 5, "is_bot": False, "first_name": "S"}})},
        Inbound(ADDRESS, "871234001", text="hi", message_id="321"),
    ),
    # --- photos
    Row("photo", new(photo=SIZES), photo("photo:photo-y")),
    Row("photo with words", new(photo=SIZES, caption="Mobil dinas", caption_entities=[]), photo("photo:photo-y", "Mobil dinas")),
    Row("photo, sizes in another order", new(photo=SIZES[::-1]), photo("photo:photo-y")),
    Row("photo of one size", new(photo=SIZES[:1]), photo("photo:photo-s")),
    Row("photo under a spoiler", new(photo=SIZES, has_media_spoiler=True), photo("photo:photo-y")),
    Row("photo, the largest too large", new(photo=[*SIZES, size("photo-x", 9000, 9000, file_size=21_000_000)]), photo("photo:photo-y")),
    Row("photo of an album", new(photo=SIZES, media_group_id="13853124567"), photo("photo:photo-y", group="13853124567")),
    Row(
        "first photo of an album, with the words",
        new(photo=SIZES, media_group_id="138", caption="Tiga foto"),
        photo("photo:photo-y", "Tiga foto", group="138"),
    ),
    Row("live photo", new(photo=SIZES, live_photo=file("live-1", width=90, height=90, duration=2, photo=SIZES)), photo("photo:photo-y")),
    Row("photo without sizes", new(photo=[]), refused("other")),
    # --- files that are pictures
    Row("jpeg as a file", doc(file_name="IMG_1.jpg", mime_type="image/jpeg"), photo("file:doc-1")),
    Row("png as a file", doc(file_name="layar.png", mime_type="image/png"), photo("file:doc-1")),
    Row("heic as a file", doc(file_name="IMG_2.HEIC", mime_type="image/heic"), photo("file:doc-1")),
    Row("picture without a kind", doc(file_name="SCAN.JPEG"), photo("file:doc-1")),
    Row("picture of no particular kind", doc(file_name="a.webp", mime_type="application/octet-stream"), photo("file:doc-1")),
    Row(
        "pictures as files in an album",
        new(document=file("doc-1", mime_type="image/png"), media_group_id="9"),
        photo("file:doc-1", group="9"),
    ),
    Row("picture too large to fetch", doc(file_name="a.png", mime_type="image/png", file_size=20_000_001), refused("large")),
    Row("picture that could run scripts", doc(file_name="a.svg", mime_type="image/svg+xml"), refused("document")),
    # --- what is not taken
    Row("pdf", doc(file_name="surat.pdf", mime_type="application/pdf"), refused("document")),
    Row("pdf that says it is a picture by name", doc(file_name="surat.jpg", mime_type="application/pdf"), refused("document")),
    Row("file without name or kind", doc(), refused("document")),
    Row("video", new(video=VIDEO, caption="Lihat"), refused("video", "Lihat")),
    Row("round video", new(video_note=file("vn", length=240, duration=4)), refused("video")),
    Row("animation, also as a document", new(animation=VIDEO, document=VIDEO), refused("video")),
    Row("voice", new(voice=file("voice-1", duration=7, mime_type="audio/ogg")), refused("voice")),
    Row("audio", new(audio=file("audio-1", duration=200, performer="X", title="Y")), refused("voice")),
    Row(
        "sticker",
        new(sticker=file("st", type="regular", width=512, height=512, is_animated=False, is_video=False, emoji="👍", set_name="x")),
        refused("sticker"),
    ),
    Row("contact", new(contact={"phone_number": "+628123456789", "first_name": "Budi", "user_id": 88}), refused("contact")),
    Row("location", new(location=PLACE), refused("location")),
    Row("live location", new(location=PLACE | {"live_period": 900}), refused("location")),
    Row(
        "venue, also as a location",
        new(venue={"location": PLACE, "title": "Balai", "address": "Jl. 1"}, location=PLACE),
        refused("location"),
    ),
    Row(
        "poll",
        new(
            poll={
                "id": "1",
                "question": "?",
                "options": [],
                "total_voter_count": 0,
                "is_closed": False,
                "is_anonymous": True,
                "type": "regular",
                "allows_multiple_answers": False,
                "allows_revoting": False,
                "members_only": False,
            }
        ),
        refused("other"),
    ),
    Row("dice", new(dice={"emoji": "🎲", "value": 4}), refused("other")),
    Row("story", new(story={"chat": PRIVATE, "id": 3}), refused("other")),
    Row("game", new(game={"title": "x", "description": "y", "photo": SIZES}), refused("other")),
    Row("content of tomorrow", new(hologram={"file_id": "h"}), refused("other")),
    Row("content of tomorrow with words", new(hologram={"file_id": "h"}, caption="ini"), refused("other", "ini")),
    # --- edited
    Row("edited text", edited(text="Yang benar: hari Selasa"), changed("Yang benar: hari Selasa")),
    Row("edited words of a photo", edited(photo=SIZES, caption="baru"), changed("baru", attachments=(Attachment(source="photo:photo-y"),))),
    Row("a live location that moves", edited(location=PLACE | {"live_period": 900, "heading": 90}), None),
    # --- buttons
    Row("press", pressed(), tapped()),
    Row("press of a command", pressed("/lapor"), tapped("/lapor")),
    Row("press in english", pressed(sender=SITI | {"language_code": "en"}), tapped(language="en")),
    Row("press under a message that is gone", pressed(message={"message_id": 320, "chat": PRIVATE, "date": 0}), tapped()),
    Row("press under a photo", pressed(message={"message_id": 320, "chat": PRIVATE, "date": WHEN, "photo": SIZES}), tapped()),
    Row(
        "press of a game", {"update_id": 1, "callback_query": {"id": "2", "from": SITI, "chat_instance": "3", "game_short_name": "g"}}, None
    ),
    Row("press in a message sent through the bot", pressed(message=None, inline_message_id="AAA"), None),
    Row("press in a group", pressed(message={"message_id": 320, "chat": GROUP, "date": WHEN}), None),
    # --- the chat itself
    Row("blocked", member("member", "kicked"), Inbound(ADDRESS, "871234004", language="id", control="stopped")),
    Row("unblocked", member("kicked", "member"), Inbound(ADDRESS, "871234004", language="id", control="restarted")),
    Row("member as before", member("member", "member"), None),
    Row("added to a group", member("left", "member", GROUP), None),
    Row("removed from a group", member("member", "kicked", GROUP), None),
    Row(
        "group becomes a supergroup",
        {
            "update_id": 871234005,
            "message": {"message_id": 9, "from": BUDI, "chat": SMALL_GROUP, "date": WHEN, "migrate_to_chat_id": -1001987654321},
        },
        Inbound(Address("telegram", "-4123456"), "871234005", control="moved:-1001987654321"),
    ),
    # --- nothing for us
    Row("in a group", {"update_id": 1, "message": message(text="halo", chat=GROUP)}, None),
    Row(
        "in a channel",
        {"update_id": 1, "channel_post": {"message_id": 4, "chat": GROUP | {"type": "channel"}, "date": WHEN, "text": "x"}},
        None,
    ),
    Row("from a bot", {"update_id": 1, "message": message(text="halo", **{"from": BOT})}, None),
    Row("pinned", new(pinned_message=message(text="x")), None),
    Row("timer of the chat", new(message_auto_delete_timer_changed={"message_auto_delete_time": 86400}), None),
    Row("background", new(chat_background_set={"type": {"type": "chat_theme", "theme_name": "🎄"}}), None),
    Row("allowed to write", new(write_access_allowed={"from_request": True}), None),
    Row("empty message", new(), None),
    Row("message that cannot be read", new(text=""), None),
    Row("inline query", {"update_id": 1, "inline_query": {"id": "1", "from": SITI, "query": "x", "offset": ""}}, None),
    Row(
        "reaction",
        {"update_id": 1, "message_reaction": {"chat": PRIVATE, "message_id": 3, "date": WHEN, "old_reaction": [], "new_reaction": []}},
        None,
    ),
    Row("kind of tomorrow", {"update_id": 1, "subscription": {"user": SITI}}, None),
    # --- broken
    Row("no number", {"message": message(text="x")}, None, real=False),
    Row("number of another type", {"update_id": "7", "message": message(text="x")}, None, real=False),
    Row("truth as a number", {"update_id": True, "message": message(text="x")}, None, real=False),
    Row("message of another type", {"update_id": 1, "message": [1, 2]}, None, real=False),
    Row("chat of another type", {"update_id": 1, "message": message(text="x", chat="me")}, None, real=False),
    Row("chat without a number", {"update_id": 1, "message": message(text="x", chat={"type": "private"})}, None, real=False),
    Row("text of another type", new(text={"a": 1}), None, real=False),
    Row("photo of another type", new(photo={"file_id": "x"}), refused("other"), real=False),
    Row("sizes of another type", new(photo=[None, 3, {"file_id": 7}]), refused("other"), real=False),
    Row("document of another type", new(document="x"), refused("document"), real=False),
    Row("null everywhere", {"update_id": 1, "message": None, "callback_query": None}, None, real=False),
    Row("a list", [1, 2], None, real=False),
    Row("a word", "update", None, real=False),
    Row("nothing", None, None, real=False),
]


# --- what the bot says ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoken:
    """One message and the `sendMessage` requests that say it, but for what is the same in all of them."""

    name: str
    outbound: Outbound
    requests: tuple[Json, ...]


def keys(*rows: tuple[tuple[str, str], ...]) -> Json:
    """A keyboard, as rows of label and data."""
    return {"inline_keyboard": [[{"text": label, "callback_data": data} for label, data in row] for row in rows]}


def plain(text: str, *buttons: Button, **more: Any) -> Outbound:
    """A message without styles."""
    return Outbound((Span(text),), buttons, **more)


YES, NO = Button("t.1.0", "Ya"), Button("t.1.1", "Tidak")
BACK, CANCEL = Button("t.1.2", "Kembali"), Button("t.1.3", "Batal")
LONG = Button("t.1.4", "Menyukai postingan calon")
LONGER = Button("t.1.5", "Menyukai, membagikan, atau mengomentari postingan pasangan calon kepala daerah")
PARAGRAPH = "Kalimat yang panjangnya tepat lima puluh huruf ini. " * 30
TWO_TEXTS = (PARAGRAPH + "\n\n") * 3

OUTBOUND = [
    Spoken("words", plain("Halo"), ({"text": "Halo"},)),
    Spoken("markup in words", plain("a <b> & c > d \"e\" 'f'"), ({"text": "a &lt;b&gt; &amp; c &gt; d \"e\" 'f'"},)),
    Spoken("an entity in words", plain("&lt; &amp;amp;"), ({"text": "&amp;lt; &amp;amp;amp;"},)),
    Spoken("bold", Outbound((Span("A "), Span("DILARANG", "bold"), Span("."))), ({"text": "A <b>DILARANG</b>."},)),
    Spoken("italic", Outbound((Span("kemarin", "italic"),)), ({"text": "<i>kemarin</i>"},)),
    Spoken("code", Outbound((Span("/lapor", "code"),)), ({"text": "<code>/lapor</code>"},)),
    Spoken("markup in bold", Outbound((Span("<i>", "bold"),)), ({"text": "<b>&lt;i&gt;</b>"},)),
    Spoken("emoji", plain("👍🏽"), ({"text": "👍🏽"},)),
    Spoken("lines", plain("satu\n\ndua\n- tiga"), ({"text": "satu\n\ndua\n- tiga"},)),
    Spoken("two buttons", plain("Yakin?", YES, NO), ({"text": "Yakin?", "reply_markup": keys((("Ya", "t.1.0"), ("Tidak", "t.1.1")))},)),
    Spoken(
        "three buttons",
        plain("Yakin?", YES, NO, BACK),
        ({"text": "Yakin?", "reply_markup": keys((("Ya", "t.1.0"), ("Tidak", "t.1.1")), (("Kembali", "t.1.2"),))},),
    ),
    Spoken(
        "a long label",
        plain("Mana?", LONG, NO),
        ({"text": "Mana?", "reply_markup": keys((("Menyukai postingan calon", "t.1.4"),), (("Tidak", "t.1.1"),))},),
    ),
    Spoken(
        "a label that has to be cut",
        plain("Mana?", LONGER, NO),
        (
            {
                "text": "Mana?\n\n1. Menyukai, membagikan, atau mengomentari postingan pasangan calon kepala daerah\n2. Tidak",
                "reply_markup": keys((("1. Menyukai, membagikan, atau…", "t.1.5"),), (("2. Tidak", "t.1.1"),)),
            },
        ),
    ),
    Spoken(
        "a secret",
        Outbound((Span("Kode: "), Span("1234 5678", "code")), secret=True),
        ({"text": "Kode: <tg-spoiler>1234 5678</tg-spoiler>", "protect_content": True},),
    ),
    Spoken(
        "a secret with a button",
        Outbound((Span("1234", "code"),), (YES,), secret=True),
        ({"text": "<tg-spoiler>1234</tg-spoiler>", "protect_content": True, "reply_markup": keys((("Ya", "t.1.0"),))},),
    ),
    Spoken(
        "two texts, the buttons under the last",
        plain(TWO_TEXTS.strip(), YES),
        ({"text": (PARAGRAPH + "\n\n" + PARAGRAPH).strip()}, {"text": PARAGRAPH.strip(), "reply_markup": keys((("Ya", "t.1.0"),))}),
    ),
    Spoken("emoji counted in halves", plain("👍" * 2049), ({"text": "👍" * 2048}, {"text": "👍"})),
    Spoken(
        "a hundred and one choices",
        plain("Mana?", *(Button(f"t.1.{index}", f"P{index}") for index in range(101))),
        ({"text": "Mana?\n\n" + "\n".join(f"{index + 1}. P{index}" for index in range(101))},),
    ),
    Spoken("nothing to say", plain(" \n"), ()),
    Spoken("only to be forgotten", Outbound((), forget=True), ()),
]
