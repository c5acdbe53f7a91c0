"""The templates of the public pages."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template

FOLDER = Path(__file__).with_name("pages")


class Pages:
    """The templates, always escaped; Jinja is loaded with the first page that somebody opens."""

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, select_autoescape

        loader = FileSystemLoader(FOLDER)
        return Environment(loader=loader, autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True)

    def get_template(self, name: str) -> Template:
        """The template of this name."""
        return self._environment.get_template(name)
