"""The `netra` command, and `python -m bot`. What runs for long is started without the parser of the command line."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run a command and end the process."""
    gc.disable()  # nothing that is loaded at the start is garbage
    kinds = {"run": (True, True, True), "web": (False, True, False), "worker": (True, False, False)}
    if len(sys.argv) == 2 and sys.argv[1] in kinds:
        from bot.serve import ends, serve

        panel, pages, migrate_first = kinds[sys.argv[1]]
        ends(lambda: serve(panel=panel, pages=pages, migrate_first=migrate_first))
    gc.enable()
    from bot.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
