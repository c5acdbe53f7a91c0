"""Counters without identities, for Prometheus. `deploy/grafana.json` shows them; a test compares the two."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would tell to the second when the first tip of a channel came
REGISTRY = CollectorRegistry()
RECEIVED = Counter("netra_received_total", "Messages received", ["channel", "outcome"], registry=REGISTRY)
TURNS = Counter("netra_turns_total", "Turns taken", ["channel", "flow", "outcome"], registry=REGISTRY)
TURN_SECONDS = Histogram("netra_turn_seconds", "From receipt to commit of the answer", registry=REGISTRY)
MATCHED = Counter("netra_matched_total", "Questions to the self-check, by what came of them", ["outcome"], registry=REGISTRY)
SENT = Counter("netra_sent_total", "Messages sent", ["channel", "outcome"], registry=REGISTRY)
PHOTOS = Counter("netra_photos_total", "Photos", ["outcome"], registry=REGISTRY)
REMOVED = Counter("netra_removed_total", "What retention has deleted", ["what"], registry=REGISTRY)
TIDIED = Gauge("netra_tidied_timestamp_seconds", "When retention last ran to its end", registry=REGISTRY)
BACKLOG = Gauge("netra_backlog", "Rows that wait", ["box"], registry=REGISTRY)
OLDEST = Gauge(
    "netra_backlog_oldest_seconds", "For how long the oldest row of this process has been seen to wait", ["box"], registry=REGISTRY
)
UP = Gauge("netra_up", "1 where a part or channel is well", ["part"], registry=REGISTRY)
COMMITS = Gauge("netra_commits", "Commits of the writer since the start", registry=REGISTRY)
WRITTEN = Gauge("netra_written", "Units of work in these commits", registry=REGISTRY)
DISK = Gauge("netra_disk_free_bytes", "Free bytes beside the database", registry=REGISTRY)
ProcessCollector(registry=REGISTRY)


def render() -> bytes:
    """All metrics in Prometheus' text form."""
    return generate_latest(REGISTRY)
