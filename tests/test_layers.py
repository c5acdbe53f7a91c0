"""Who may import whom: the rooms of the house, checked in the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("bot", "handlers", "faq", "storage", "panel")
EVERYONE = {"bot.main", "bot.running", "bot.platforms", "bot.serve", "bot.cli", "bot.__main__"}
"""The wiring and the command line know everybody."""

MAY: dict[str, tuple[str, ...]] = {
    "bot.messages": (),
    "bot.chat": ("bot.messages",),
    "bot.questions": ("bot.messages", "bot.chat"),
    "faq": ("faq", "bot.messages"),
    "storage": ("storage", "bot.messages"),
    "handlers": ("handlers", "bot.messages", "bot.chat", "bot.questions", "bot.turn", "bot.receipts", "faq", "storage"),
    "bot.channels": ("bot.channels", "bot.messages", "bot.logs", "bot.metrics", "bot.pacer", "bot.templates"),
    "panel": ("panel", "storage", "faq", "bot.messages"),
    "bot": ("bot", "storage"),
    "bot.changes": ("bot", "storage", "faq"),
    "bot.documents": ("bot", "storage", "faq"),
    "bot.handouts": ("bot", "storage", "faq"),
}
"""The longest name that fits a module decides what it may import; `bot` is the machine, which knows no conversation by name.
Three of its parts write what the FAQ says: papers (a pledge, a poster), and reminders about answers that changed."""

EXTRA = {"handlers": ("bot.texts", "bot.downloads", "bot.quotas", "bot.limits", "bot.broadcast"), "panel": ("bot.texts", "bot.broadcast")}
"""Small parts of the machine that conversations and the panel may use beside those."""


def modules() -> dict[str, Path]:
    """Every module of ours by its name."""
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "versions" not in path.parts:
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path, tree: ast.Module, known: set[str], *, inside: bool) -> set[str]:
    """The modules of ours that a file imports, at its top and (with `inside`) in its functions."""
    found = set()
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in known else node.module for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{path}: imports are absolute")
        else:
            continue
        found |= {name for name in names if name.split(".")[0] in ROOMS}
    return found


def within(name: str, room: str) -> bool:
    """Whether a module is a room or lies in it."""
    return name == room or name.startswith(room + ".")


MODULES = modules()
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}
GRAPH = {name: imports(path, TREES[name], set(MODULES), inside=True) for name, path in MODULES.items()}
LOADED = {name: imports(path, TREES[name], set(MODULES), inside=False) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", sorted(set(MODULES) - EVERYONE))
def test_a_module_imports_only_what_its_room_may(name: str) -> None:
    """Channels know no conversation, conversations no channel, the FAQ and the storage nobody."""
    room = max((room for room in MAY if within(name, room)), key=len)
    allowed = (*MAY[room], *EXTRA.get(room, ()))
    wrong = {other for other in GRAPH[name] if not any(within(other, one) for one in allowed)}
    assert not wrong, f"{name} ({room}) must not import {sorted(wrong)}"


def test_the_machine_knows_no_conversation_by_name() -> None:
    """Only the wiring imports handlers and the panel."""
    for name, others in GRAPH.items():
        if within(name, "bot") and name not in EVERYONE:
            assert not [other for other in others if within(other, "handlers") or within(other, "panel")], name


def test_channels_do_not_know_one_another() -> None:
    """Telegram's parts and WhatsApp's parts meet only in the table of limits."""
    for name, others in GRAPH.items():
        for one, other in (("telegram", "whatsapp"), ("whatsapp", "telegram"), ("web_chat", "telegram"), ("telegram", "twilio")):
            if name.startswith(f"bot.channels.{one}"):
                assert not [found for found in others if found.startswith(f"bot.channels.{other}")], name


def test_there_are_no_circles() -> None:
    """No module needs itself to be loaded, over however many others."""
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in LOADED.get(name, ()):
                walk(other, (*above, name))
            done.add(name)

    for name in LOADED:
        walk(name, ())


def test_nothing_has_a_name_that_says_nothing() -> None:
    """No utils, helpers, common, base, manager."""
    for name in MODULES:
        assert not set(name.replace("_", ".").split(".")) & {"util", "utils", "helper", "helpers", "common", "base", "manager", "misc"}, (
            name
        )
