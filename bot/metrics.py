"""Counters without identities, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
RECEIVED = Counter("netra_received_total", "Messages received", ["channel", "outcome"], registry=REGISTRY)
TURNS = Counter("netra_turns_total", "Turns taken", ["channel", "flow", "outcome"], registry=REGISTRY)
TURN_SECONDS = Histogram("netra_turn_seconds", "From receipt to commit of the answer", registry=REGISTRY)
SENT = Counter("netra_sent_total", "Messages sent", ["channel", "outcome"], registry=REGISTRY)
PHOTOS = Counter("netra_photos_total", "Photos", ["outcome"], registry=REGISTRY)
BACKLOG = Gauge("netra_backlog", "Rows that wait", ["box"], registry=REGISTRY)


def render() -> bytes:
    """All metrics in Prometheus' text form."""
    return generate_latest(REGISTRY)
