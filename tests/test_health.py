"""Health: who should get traffic, what waits and since when, and what the operator's dashboard is fed with."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, insert

from bot import metrics
from bot.health import STUCK_SECONDS, Health
from bot.main import build
from bot.pacer import Pacer
from bot.running import running
from bot.settings import Settings
from storage.models import Inbox, Outbox
from storage.schema import migrate
from storage.store import Store, connect
from tests.scale.procfile import free_port
from tests.whole import Whole

DEPLOY = Path(__file__).parents[1] / "deploy"
NETRA = re.compile(r"\bnetra_[a-z_]+")


class Seconds:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    """The time of the health checks."""
    return Seconds()


@pytest.fixture
def health(tmp_path: Path, clock: Seconds) -> Health:
    """Over an empty database, with two channels that push."""
    store = Store(f"sqlite:///{tmp_path / 'netra.db'}")
    migrate(store.engine)
    channels = ("web_chat", "telegram", "whatsapp")
    return Health(store, "", channels, {"telegram": Pacer(30), "whatsapp": Pacer(80)}, lambda: None, tmp_path, monotonic=clock)


def waits(health: Health, *rows: int) -> None:
    """These messages wait for their turn."""
    values = [{"id": row, "chat": b"c" * 16, "epoch": 1, "owner": "", "body": b""} for row in rows]
    health.store.write_now(lambda connection: connection.execute(insert(Inbox), values))


@pytest.mark.anyio
async def test_a_process_that_is_stuck_gets_no_traffic(health: Health, clock: Seconds) -> None:
    """A message that is the oldest for a minute: the process that should take its turn does not."""
    assert (await health.look()).serves
    waits(health, 7, 8)
    first = await health.look()
    assert first.serves and first.waiting["inbox"] == {"rows": 2, "oldest_seconds": 0}
    clock.now += STUCK_SECONDS
    stuck = await health.look()
    assert not stuck.serves and stuck.parts["turns"] == "stuck" and stuck.waiting["inbox"]["oldest_seconds"] == STUCK_SECONDS
    health.store.write_now(lambda connection: connection.execute(delete(Inbox).where(Inbox.id == 7)))
    assert (await health.look()).serves


@pytest.mark.anyio
async def test_a_platform_that_is_out_of_order_is_told_and_changes_nothing(health: Health, clock: Seconds) -> None:
    """Messages still come in and are kept; the channel says in one word how it is, until something goes out again."""
    rows = [
        {"id": row, "chat": b"c" * 16, "channel": name, "epoch": 1, "owner": "", "body": b""}
        for row, name in ((1, "telegram"), (2, "web_chat"))
    ]
    health.store.write_now(lambda connection: connection.execute(insert(Outbox), rows))
    await health.look()
    clock.now += 3600
    metrics.SENT.labels("telegram", "down").inc()
    health.pacers["whatsapp"].pause(30)
    report = await health.look()
    assert report.serves and report.channels == {"web_chat": "ok", "telegram": "failing", "whatsapp": "paused"}
    assert report.waiting["outbox"] == {"rows": 1, "oldest_seconds": 3600}, "what waits in the web chat waits for a person"
    metrics.SENT.labels("telegram", "sent").inc()
    assert (await health.look()).channels["telegram"] == "ok"


@pytest.mark.anyio
async def test_without_keys_or_database_there_is_no_traffic(health: Health) -> None:
    """The kind of fault, never its words."""

    def gone() -> None:
        raise FileNotFoundError("RAHASIA")

    health.keys = gone
    report = await health.look()
    assert not report.serves and report.parts["keys"] == "FileNotFoundError" and report.parts["database"] == "ok"
    health.store.close()
    report = await health.look()
    assert report.parts["database"] != "ok" and "RAHASIA" not in json.dumps(report.to_json())


def test_readiness_over_http(tmp_path: Path) -> None:
    """Database, keys, each channel with one word, and how much waits since when."""
    with Whole(tmp_path) as whole:
        status, parts = whole.person.request("GET", "/readyz")
        assert status == 200
        assert {name: parts[name] for name in ("status", "database", "keys", "turns")} == dict.fromkeys(
            ("status", "database", "keys", "turns"), "ok"
        )
        assert parts["channels"] == {"web_chat": "ok"}
        assert parts["backlog"] == {box: {"rows": 0, "oldest_seconds": 0} for box in ("inbox", "outbox")}


def exported() -> set[str]:
    """Every name that the program exports, samples of histograms included."""
    families = list(text_string_to_metric_families(metrics.render().decode()))
    named = {sample.name for family in families for sample in family.samples}
    return {
        name
        for name in named | {family.name + ("_total" if family.type == "counter" else "") for family in families}
        if name.startswith("netra_")
    }


def test_the_dashboard_shows_what_the_program_exports() -> None:
    """No panel asks for a name that is not there, and no name of ours is left out."""
    metrics.BACKLOG.labels("inbox").set(0)
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"] for name in NETRA.findall(target["expr"])}
    names = exported()
    assert asked <= names, asked - names
    assert not {re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}


def test_metrics_tell_no_moment_and_nobody(tmp_path: Path) -> None:
    """No time at which a counter began (that of the first tip), no label but names of ours."""
    with Whole(tmp_path) as whole:
        whole.person.says("lapor")
        with urlopen(f"{whole.panel}/metrics") as answer:
            text = answer.read().decode()
    assert "netra_turns_total{" in text and "_created" not in text
    labels = {name for family in text_string_to_metric_families(text) for sample in family.samples for name in sample.labels}
    assert labels <= {"channel", "outcome", "flow", "box", "part", "what", "le"}


def test_a_web_replica_has_metrics_where_they_are_asked_for(tmp_path: Path) -> None:
    """On a port of its own beside the public one."""
    folders = {f"NETRA_{name}_DIR": tmp_path / name.lower() for name in ("DATA", "KEYS", "RUN")}
    settings = Settings(_env_file=None, NETRA_ENV="test", PORT=0, NETRA_METRICS_PORT=free_port(), **folders)
    engine = connect(settings.url())
    migrate(engine)
    engine.dispose()
    netra = build(settings)

    async def scraped() -> bytes:
        async with running(netra, panel=False):
            return await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics").read())

    assert b"netra_up" in asyncio.run(scraped())
    netra.cleaner.close()
    netra.store.close()
