"""`netra broadcast`, as an operator types it, over the data of the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot.settings import Settings
from storage.drafts import Audience, Draft, When
from storage.models import Table
from storage.schema import migrate
from storage.store import connect
from tests.broadcast.conftest import DAY, TEXT

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]


def netra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "NETRA_ENV": "test",
        "NETRA_NOW": "2024-11-18T10:00:00+07:00",
        "NETRA_DATA_DIR": str(folder / "data"),
        "NETRA_KEYS_DIR": str(folder / "keys"),
        "NETRA_RUN_DIR": str(folder / "run"),
        "COLUMNS": "160",
    }
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data with one approved broadcast."""
    from bot.main import build

    for name, value in (("DATA", "data"), ("KEYS", "keys"), ("RUN", "run")):
        monkeypatch.setenv(f"NETRA_{name}_DIR", str(tmp_path / value))
    monkeypatch.setenv("NETRA_ENV", "test")
    monkeypatch.setenv("NETRA_NOW", "2024-11-18T10:00:00+07:00")
    settings = Settings()
    engine = connect(settings.url())
    migrate(engine)
    Table.metadata.create_all(engine)
    engine.dispose()
    made = build(settings, claim=False)
    draft = Draft("Masa tenang", "stages", When(DAY, DAY), Audience(), telegram={"id": TEXT})

    def prepare(connection: object) -> None:
        number = made.desk.broadcasts.save(connection, draft, "rina")  # type: ignore[arg-type]
        made.desk.broadcasts.propose(connection, number)  # type: ignore[arg-type]
        made.desk.broadcasts.approve(connection, number, "budi", draft.digest)  # type: ignore[arg-type]

    made.store.write_now(prepare)
    made.cleaner.close()
    made.store.close()
    return tmp_path


def test_look_hold_go_on_end(folder: Path) -> None:
    """Each command does what it says, and says in one line what it cannot do."""
    assert "Masa tenang" in netra(folder, "broadcast", "list").stdout
    shown = netra(folder, "broadcast", "show", "1").stdout
    assert "written by rina, approved by budi" in shown
    assert netra(folder, "broadcast", "pause", "1").returncode == 0
    assert "paused (by_staff)" in netra(folder, "broadcast", "show", "1").stdout
    refused = netra(folder, "broadcast", "pause", "1")
    assert refused.returncode == 1
    assert refused.stderr.strip() == "netra: It is neither running nor waiting for its time."
    assert netra(folder, "broadcast", "resume", "1").returncode == 0
    assert netra(folder, "broadcast", "stop-all").returncode == 0
    assert "STOPPED by system" in netra(folder, "broadcast", "list").stdout
    assert netra(folder, "broadcast", "release").returncode == 0
    assert netra(folder, "broadcast", "cancel", "1").returncode == 0
    assert netra(folder, "broadcast", "show", "9").stderr.strip() == "netra: There is no broadcast 9."
    assert "broadcast_cancel" not in netra(folder, "broadcast", "--help").stdout
