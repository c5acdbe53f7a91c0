"""The transcripts of the documentation: a whole tip on each platform, with nothing that the platform refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.platforms.test_whole import CODE, anyio_backend
from tests.platforms.transcript import PLATFORMS

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_transcript_ends_with_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], platform: str) -> None:
    """From /start to the state of the report, read back with its code, which is not printed."""
    assert await PLATFORMS[platform](tmp_path) == []
    said = capsys.readouterr().out
    assert "DILARANG" in said and not CODE.search(said)
    assert "sudah masuk, belum dibaca tim" in said[said.rindex("Warga: ") :]
