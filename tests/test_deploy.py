"""What an operator copies onto a server: closed in, free of logs, and true of the program as it is."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from bot.channels.web_chat import REQUEST_BYTES
from bot.cli import app
from bot.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE = sorted(DEPLOY.glob("compose*.yaml"))
GUIDES = (DOCS / "operator.md", DOCS / "operator.id.md")
SANDBOX = """
LimitCORE=0 MemorySwapMax=0 UMask=0077 NoNewPrivileges=yes ProtectSystem=strict ProtectHome=yes PrivateTmp=yes PrivateDevices=yes
ProtectKernelTunables=yes ProtectKernelModules=yes ProtectKernelLogs=yes ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes
ProtectProc=invisible RestrictNamespaces=yes RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes CapabilityBoundingSet=
SystemCallArchitectures=native SystemCallFilter=@system-service User=netra RuntimeDirectoryMode=0700 StateDirectoryMode=0700
""".split()
"""No core dumps, no swap, nothing of other users, no new rights, no devices, no kernel."""


def lines(unit: Path) -> set[str]:
    """The settings of a unit."""
    return {line for line in unit.read_text().splitlines() if line and not line.startswith(("#", "["))}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_process_is_shut_in(unit: Path) -> None:
    """The same lines in every unit; the draft keys in a tmpfs."""
    assert set(SANDBOX) <= lines(unit)
    assert "RuntimeDirectory=netra" in lines(unit) and "EnvironmentFile=/etc/netra/netra.env" in lines(unit)


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """Its own check where it is installed, else a plain reading; and it finds little that is exposed."""
    named = []
    for unit in UNITS:
        name = unit.name.replace("@", "@8091")
        (tmp_path / name).write_text(unit.read_text().replace("/opt/netra/.venv/bin/netra", "/bin/true"))
        named.append(str(tmp_path / name))
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(unit.read_text())
        assert parser["Service"]["ExecStart"].split()[-1] in ("run", "web", "worker", "migrate")
    if analyze := shutil.which("systemd-analyze"):
        for one in named:
            done = subprocess.run([analyze, "security", "--offline=yes", "--threshold=20", one], capture_output=True, text=True)
            assert done.returncode == 0, [*done.stdout.splitlines()[-1:], done.stderr]


def test_containers_are_shut_in_and_open_nothing_to_the_world() -> None:
    """Read-only, without rights, keys in memory; every port on loopback, where the proxy is."""
    for path in COMPOSE:
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        for name, service in content["services"].items():
            assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], (path.name, name)
            assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), (path.name, name)
            if service["image"] == "netra":
                assert service["read_only"] and service["ulimits"] == {"core": 0} and service["mem_swappiness"] == 0
                places = service["environment"]
                assert places["NETRA_RUN_DIR"] == "/run/netra" and places["NETRA_DATA_DIR"] == "/data/db"
                memory = service["tmpfs"] + [one for one in service["volumes"] if one.startswith("netra-run:")]
                assert any(str(one).partition(":")[2].startswith("/run/netra") or str(one).startswith("/run/netra") for one in memory)
        for volume, kind in content["volumes"].items():
            assert volume != "netra-run" or kind["driver_opts"]["type"] == "tmpfs"


def test_the_image_holds_no_secret_and_no_root() -> None:
    """Built from pinned hashes, run by a user of its own."""
    text = (DEPLOY / "Containerfile").read_text()
    copied = [word for line in text.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert "--require-hashes" in text and "\nUSER netra\n" in text
    assert set(copied) == {"requirements.txt", "pyproject.toml", "README.md", "bot", "handlers", "faq", "storage", "panel"}


def test_the_proxies_keep_nothing() -> None:
    """No access log, no body on the disk, room for the photos of a whole tip, a certificate before all else."""
    nginx = (DEPLOY / "nginx.conf").read_text()
    servers = re.split(r"^server \{", nginx, flags=re.MULTILINE)[1:]
    assert len(servers) == 2 and all("access_log off;" in server for server in servers)
    assert "error_log /dev/null crit;" in nginx and "proxy_request_buffering off;" in nginx and "proxy_max_temp_file_size 0;" in nginx
    size = re.search(r"client_max_body_size (\d+)m;", nginx)
    assert size and int(size[1]) * 1024 * 1024 > REQUEST_BYTES
    assert nginx.count("{") == nginx.count("}")
    caddy = (DEPLOY / "Caddyfile").read_text()
    assert "output discard" in caddy and "\tlog {" not in caddy and "max_size 110MB" in caddy and caddy.count("{") == caddy.count("}")
    assert "X-Forwarded-For" not in nginx and "X-Real-IP" not in nginx


def test_the_database_s_log_keeps_no_words() -> None:
    """What a failing statement held is not written down, and no archive outlives a deletion."""
    text = (DEPLOY / "postgresql.conf").read_text()
    for line in ("log_min_error_statement = panic", "log_error_verbosity = terse", "log_parameter_max_length_on_error = 0"):
        assert line in text
    assert "log_connections = off" in text and "archive_mode = off" in text


def test_the_example_of_the_settings_is_complete_for_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names that the program knows; with an address, it starts."""
    given = dict(line.split("=", 1) for line in (DEPLOY / "netra.env.example").read_text().splitlines() if "=" in line and line[0] != "#")
    known = {one.name for one in Settings.fields().values()}
    assert set(given) <= known
    for name in known:
        monkeypatch.delenv(name, raising=False)
    assert Settings(_env_file=None, **given).problems() == []


def commands() -> set[str]:
    """Every command with its parts."""
    found: set[str] = set()

    def walk(command: Any, name: str) -> None:
        found.add(name)
        for part, one in getattr(command, "commands", {}).items():
            walk(one, f"{name} {part}")

    assert isinstance(app, typer.Typer)
    walk(get_command(app), "netra")
    return found


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_guide_is_true_of_the_program(guide: Path) -> None:
    """Every command, setting, file and page it names is there."""
    text = guide.read_text()
    known = commands()
    for span in [*re.findall(r"`([^`\n]+)`", text), *blocks(text).replace("&&", "\n").splitlines()]:
        if not (said := re.match(r"\s*netra ((?:[a-z][a-z-]* ?)+)", span)):
            continue
        words = said[1].split()
        assert f"netra {words[0]}" in known, span
        if any(one.startswith(f"netra {words[0]} ") for one in known):
            assert f"netra {words[0]} {words[1]}" in known, span
    settings = {one.name for one in Settings.fields().values()}
    assert set(re.findall(r"\b(?:NETRA|TELEGRAM|TWILIO)_[A-Z_]+\b", text)) <= settings
    for name in re.findall(r"\b(deploy/[\w@.-]+\w)", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w./-]+\.md)\)", text):
        assert (guide.parent / name).exists(), name


def blocks(text: str) -> str:
    """The lines that are to be typed."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))


def test_both_guides_say_the_same() -> None:
    """The same chapters, and the same lines to be typed but for what stands behind #."""
    english, indonesian = (guide.read_text() for guide in GUIDES)
    assert len(re.findall(r"^## ", english, re.MULTILINE)) == len(re.findall(r"^## ", indonesian, re.MULTILINE))

    def typed(text: str) -> list[str]:
        typed = [line.split("    #")[0].rstrip() for line in blocks(text).splitlines()]
        return [re.sub(r"<[^>]+>", "<>", line) for line in typed]

    assert typed(english) == typed(indonesian)
