"""Telegram's updates, read field by field: what a person sent, and nothing of who they are but the chat's number and the language.

By hand, because the library's `Update.de_json` costs three times the rest of the webhook path, and because one broken update must not
spoil the others of its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.messages import Address, Attachment, Inbound

Json = Mapping[str, Any]

UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
"""The kinds of updates that Telegram is asked for."""

FILE_BYTES = 20_000_000
"""The largest file that a bot can fetch (Bot API, getFile)."""

ENVELOPE = frozenset({
    "message_id", "message_thread_id", "from", "sender_chat", "sender_boost_count", "sender_business_bot", "sender_tag",
    "business_connection_id", "date", "chat", "edit_date", "forward_origin", "forward_from", "forward_from_chat",
    "forward_from_message_id", "forward_signature", "forward_sender_name", "forward_date", "is_topic_message", "is_automatic_forward",
    "reply_to_message", "external_reply", "quote", "reply_to_story", "reply_to_checklist_task_id", "reply_to_poll_option_id", "via_bot",
    "has_protected_content", "is_from_offline", "is_paid_post", "media_group_id", "author_signature", "paid_star_count", "entities",
    "link_preview_options", "effect_id", "caption_entities", "show_caption_above_media", "has_media_spoiler", "reply_markup",
    "direct_messages_topic", "suggested_post_info", "text", "caption", "guest_bot_caller_user", "guest_bot_caller_chat", "guest_query_id",
})  # fmt: skip
"""What stands around a message's content (Bot API, Message)."""

SERVICE = frozenset({
    "new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title", "new_chat_photo",
    "delete_chat_photo", "group_chat_created", "supergroup_chat_created", "channel_chat_created", "message_auto_delete_timer_changed",
    "migrate_from_chat_id", "pinned_message", "successful_payment", "refunded_payment", "users_shared", "chat_shared", "user_shared",
    "gift", "unique_gift", "gift_upgrade_sent", "connected_website", "write_access_allowed", "passport_data", "proximity_alert_triggered",
    "boost_added", "chat_background_set", "checklist_tasks_done", "checklist_tasks_added", "direct_message_price_changed",
    "forum_topic_created", "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden",
    "general_forum_topic_unhidden", "giveaway_created", "giveaway_completed", "managed_bot_created", "paid_message_price_changed",
    "poll_option_added", "poll_option_deleted", "suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined",
    "suggested_post_paid", "suggested_post_refunded", "video_chat_scheduled", "video_chat_started", "video_chat_ended",
    "video_chat_participants_invited", "web_app_data",
})  # fmt: skip
"""News of the platform that look like messages: nobody waits for an answer to them."""

REFUSED = (
    ("animation", "video"),
    ("video", "video"),
    ("video_note", "video"),
    ("voice", "voice"),
    ("audio", "voice"),
    ("sticker", "sticker"),
    ("contact", "contact"),
    ("venue", "location"),
    ("location", "location"),
)
"""Contents that are not taken, and the word for why: in this order, since an animation also comes as a document, a venue as a location."""

IMAGES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff")
NO_KIND = ("", "application/octet-stream")


def read_update(update: object) -> Inbound | None:
    """The message in an update of the Bot API; None when there is none for us. It never raises, whatever the update is."""
    if not isinstance(update, dict):
        return None
    update_id = number(update, "update_id")
    if update_id is None:
        return None
    if message := part(update, "message"):
        return _message(str(update_id), message, edited=False)
    if message := part(update, "edited_message"):
        return _message(str(update_id), message, edited=True)
    if query := part(update, "callback_query"):
        return _press(str(update_id), query)
    if change := part(update, "my_chat_member"):
        return _change(str(update_id), change)
    return None


def _message(update_id: str, message: Json, *, edited: bool) -> Inbound | None:
    chat, sender = part(message, "chat"), part(message, "from")
    chat_id, message_id = number(chat, "id"), number(message, "message_id")
    if chat_id is None or message_id is None:
        return None
    moved = number(message, "migrate_to_chat_id")
    if moved is not None:
        return Inbound(Address("telegram", str(chat_id)), update_id, control=f"moved:{moved}")
    if not _from_a_person(chat, sender) or not SERVICE.isdisjoint(message):
        return None
    if edited and "location" in message:
        return None  # a live location is edited every few seconds, by no one's hand
    text = words(message, "text") or words(message, "caption")
    attachment = _attachment(message)
    if not text and attachment is None:
        return None
    return Inbound(
        Address("telegram", str(chat_id)),
        update_id,
        text=text,
        attachments=(attachment,) if attachment else (),
        language=words(sender, "language_code"),
        message_id=str(message_id),
        group=words(message, "media_group_id"),
        edited=edited,
    )


def _attachment(message: Json) -> Attachment | None:
    sizes = message.get("photo")
    if isinstance(sizes, list):
        return _photo([size for size in sizes if isinstance(size, dict) and words(size, "file_id")])
    for content, reason in REFUSED:
        if content in message:
            return Attachment(refused=reason)
    if "document" in message:
        return _document(part(message, "document"))
    return None if ENVELOPE.issuperset(message) else Attachment(refused="other")


def _photo(sizes: Sequence[Json]) -> Attachment:
    fitting = [size for size in sizes if (number(size, "file_size") or 0) <= FILE_BYTES]
    if not fitting:
        return Attachment(refused="large" if sizes else "other")
    best = max(fitting, key=lambda size: (number(size, "width") or 0) * (number(size, "height") or 0))
    return Attachment(source="photo:" + words(best, "file_id"))


def _document(document: Json) -> Attachment:
    kind, file_id = words(document, "mime_type").lower(), words(document, "file_id")
    image = kind.startswith("image/") and not kind.startswith("image/svg")
    if kind in NO_KIND:
        image = words(document, "file_name").lower().endswith(IMAGES)
    if not image or not file_id:
        return Attachment(refused="document")
    if (number(document, "file_size") or 0) > FILE_BYTES:
        return Attachment(refused="large")
    return Attachment(source="file:" + file_id)


def _press(update_id: str, query: Json) -> Inbound | None:
    message, sender = part(query, "message"), part(query, "from")
    chat = part(message, "chat")
    chat_id, message_id, token = number(chat, "id"), number(message, "message_id"), words(query, "data")
    if chat_id is None or message_id is None or not token or not _from_a_person(chat, sender):
        return None
    language = words(sender, "language_code")
    return Inbound(Address("telegram", str(chat_id)), update_id, button=token, language=language, message_id=str(message_id))


def _change(update_id: str, change: Json) -> Inbound | None:
    chat, sender = part(change, "chat"), part(change, "from")
    chat_id = number(chat, "id")
    before, after = words(part(change, "old_chat_member"), "status"), words(part(change, "new_chat_member"), "status")
    if chat_id is None or not _from_a_person(chat, sender):
        return None
    if after == "kicked":
        control = "stopped"
    elif after == "member" and before == "kicked":
        control = "restarted"
    else:
        return None
    return Inbound(Address("telegram", str(chat_id)), update_id, language=words(sender, "language_code"), control=control)


def _from_a_person(chat: Json, sender: Json) -> bool:
    return chat.get("type") == "private" and sender.get("is_bot") is not True


def part(data: Json, name: str) -> Json:
    """The object in a field; an empty one when there is none."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def number(data: Json, name: str) -> int | None:
    """The whole number in a field."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def words(data: Json, name: str) -> str:
    """The text in a field, with half characters (JSON allows them, UTF-8 does not) replaced; empty when there is none."""
    value = data.get(name)
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
