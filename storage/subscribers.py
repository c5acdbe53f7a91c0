"""Subscribers: who asked for reminders, in tables and under a key of their own.

A row is found by a keyed hash of the address (so that stop works) and holds the address sealed under the same key. Nothing here is shared
with a tip: not an id, not a key, not a time of day. Stop deletes the row at once; nothing remembers that it was there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, func, insert, select, update

from bot.messages import Address
from storage.models import Broadcast, BroadcastLane, Delivery, Subscriber
from storage.vault import keyed, seal, unseal

CHANNELS = ("telegram", "whatsapp")
"""Where a reminder can be pushed; a web page cannot be written to."""

ROLES = ("asn", "warga")
KINDS = ("stages", "rules", "quiz")
CONSENT = "1"
"""Version of the consent text `subscribe.consent`: raised whenever its meaning changes."""

ZONES = {"WIB": ZoneInfo("Asia/Jakarta"), "WITA": ZoneInfo("Asia/Makassar"), "WIT": ZoneInfo("Asia/Jayapura")}
EAST = {
    **dict.fromkeys(("51", "52", "53", "63", "64", "65", "71", "72", "73", "74", "75", "76"), "WITA"),
    **dict.fromkeys(("81", "82", "91", "92", "93", "94", "95", "96"), "WIT"),
}
"""Provinces (Kemendagri codes) outside of Western Indonesian Time (Keppres 41/1987; newer provinces as what they split from)."""


def zone_of(region: str) -> str:
    """The time zone of a region's province; Western time for the whole country."""
    return EAST.get(region[:2], "WIB")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for."""

    role: str
    region: str
    language: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it stands."""

    wish: Wish
    consent: str
    day: dt.date


class Subscribers:
    """Reads and writes subscriptions; every method takes the connection of its transaction."""

    def __init__(self, key: bytes) -> None:
        self._names, self._seals = keyed(key, b"subscriber name", b""), keyed(key, b"subscriber seal", b"")
        self.gone: set[bytes] = set()
        """Who stopped since this was last emptied: a broadcast of the same process asks here before each request."""

    def name(self, address: Address) -> bytes:
        """The row id of an address."""
        return keyed(self._names, b"subscriber", f"{address.channel}|{address.chat}".encode(), 16)

    def sealed(self, name: bytes, address: Address) -> bytes:
        """The address, sealed for its row."""
        return seal(self._seals, b"u", b"subscriber.address" + name, address.chat.encode(), pad=64)

    def address(self, name: bytes, channel: str, sealed: bytes) -> Address:
        """The address of a row; raises `Broken`."""
        return Address(channel, unseal(self._seals, b"u", b"subscriber.address" + name, sealed).decode())

    def subscribe(self, connection: Connection, address: Address, wish: Wish, today: dt.date) -> None:
        """Take up or change a subscription, with today's consent. Raises `ValueError` for a channel that cannot be written to."""
        if address.channel not in CHANNELS:
            raise ValueError("a reminder cannot be pushed there")
        name = self.name(address)
        self.gone.discard(name)
        zone = zone_of(wish.region)
        values = {
            "role": wish.role,
            "region": wish.region,
            "zone": zone,
            "language": wish.language,
            "kinds": f",{','.join(wish.kinds)},",
            "consent": CONSENT,
            "day": today,
            "heard": today if address.channel == "whatsapp" else None,
        }
        before = connection.execute(select(Subscriber.zone).where(Subscriber.id == name)).scalar()
        if before is None:
            connection.execute(insert(Subscriber).values(id=name, channel=address.channel, address=self.sealed(name, address), **values))
            return
        if before != zone:
            settle_running(connection, name, address.channel, before)
        connection.execute(update(Subscriber).where(Subscriber.id == name).values(**values))

    def get(self, connection: Connection, address: Address) -> Subscription | None:
        """The subscription of an address."""
        row = connection.execute(select(Subscriber).where(Subscriber.id == self.name(address))).mappings().first()
        if row is None:
            return None
        wish = Wish(row["role"], row["region"], row["language"], tuple(filter(None, row["kinds"].split(","))))
        return Subscription(wish, row["consent"], row["day"])

    def stop(self, connection: Connection, address: Address) -> bool:
        """End a subscription at once; False when there was none."""
        name = self.name(address)
        self.gone.add(name)
        return stop_by_name(connection, [name]) == 1

    def forget_days(self, connection: Connection, today: dt.date) -> None:
        """Forget on which earlier day a subscriber wrote about the subscription."""
        connection.execute(update(Subscriber).where(Subscriber.heard < today).values(heard=None))

    def size(self, connection: Connection) -> dict[str, int]:
        """How many subscribers there are, by channel."""
        query = select(Subscriber.channel, func.count()).group_by(Subscriber.channel)
        return {str(channel): int(number) for channel, number in connection.execute(query)}


def stop_by_name(connection: Connection, names: Sequence[bytes]) -> int:
    """End the subscriptions with these row ids; how many there were."""
    query = select(Subscriber.id, Subscriber.channel, Subscriber.zone).where(Subscriber.id.in_(names))
    for row in connection.execute(query).all():
        settle_running(connection, row.id, row.channel, row.zone)
    connection.execute(delete(Delivery).where(Delivery.subscriber.in_(names), Delivery.state.in_(("retry", "failed"))))
    return connection.execute(delete(Subscriber).where(Subscriber.id.in_(names))).rowcount


def settle_running(connection: Connection, name: bytes, channel: str, zone: str) -> None:
    """Mark that the broadcasts on their way have passed this subscriber, who may come back in another time zone's walk."""
    query = (
        select(BroadcastLane.broadcast_id)
        .join(Broadcast, Broadcast.id == BroadcastLane.broadcast_id)
        .where(
            BroadcastLane.channel == channel,
            BroadcastLane.zone == zone,
            BroadcastLane.cursor >= name,
            Broadcast.state.in_(("running", "paused")),
        )
    )
    for broadcast in list(connection.execute(query).scalars()):
        passed = (Delivery.broadcast_id == broadcast) & (Delivery.subscriber == name)
        if connection.execute(select(Delivery.subscriber).where(passed)).first() is None:
            connection.execute(
                insert(Delivery).values(broadcast_id=broadcast, subscriber=name, channel=channel, zone=zone, state="settled")
            )
