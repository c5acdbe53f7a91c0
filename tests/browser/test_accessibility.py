"""Every page is judged by axe (WCAG 2.2 AA) in light and dark, and fits a 360-pixel phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Running
from tests.browser.test_main_job import log_in, send_tip, visit

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
PUBLIC = ("/", "/chat", "/privasi", "/statistik")


def judge(page: Page) -> str:
    """What axe finds wrong, one line each; empty when nothing."""
    found = Axe().run(page, options=RULES).response["violations"]
    return "\n".join(f"{one['id']}: {one['nodes'][0]['html'][:160]} ({one['nodes'][0]['failureSummary'][:200]})" for one in found)


def too_wide(page: Page) -> int:
    """How many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages(browser: Browser, netra: Running, path: str, scheme: str) -> None:
    """No finding on any public page, and nothing to scroll sideways."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, locale="id-ID")
    page = context.new_page()
    page.goto(netra.public + path)
    assert judge(page) == ""
    assert too_wide(page) <= 0
    context.close()


def test_the_chat_in_the_middle_of_a_tip(browser: Browser, netra: Running) -> None:
    """Choices, bubbles and the photo step are accessible too."""
    visitor = visit(browser, netra)
    visitor.says("/lapor")
    assert judge(visitor.page) == ""
    visitor.page.context.close()


@pytest.fixture(scope="module")
def panel_paths(browser: Browser, netra: Running, photo) -> Iterator[tuple[dict, list[str]]]:  # type: ignore[no-untyped-def,type-arg]
    """A logged-in state and the address of every page that links lead to."""
    visitor = visit(browser, netra)
    send_tip(visitor, photo)
    context = browser.new_context(locale="id-ID")
    page = context.new_page()
    log_in(page, netra)
    page.goto(netra.panel + "/faq?t=boleh+ga+like+postingan+cabup")
    page.get_by_text("Ajukan dan lihat pengaruhnya").click()
    page.goto(netra.panel + "/laporan?map=all&foto=1")
    page.fill("#view-name", "Berfoto")
    page.locator(".save-view button").click()
    seen, waiting = [], ["/"]
    shapes: set[str] = set()
    while waiting and len(seen) < 50:
        path = waiting.pop(0)
        response = page.goto(netra.panel + path)
        if response is None or response.status != 200 or "html" not in response.headers.get("content-type", ""):
            continue
        seen.append(path)
        for link in page.locator("a[href^='/']").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
            shape = "".join("#" if sign.isdigit() or sign in "abcdef" else sign for sign in link.split("?")[0])
            if shape not in shapes and "/unduh" not in link and "/ekspor" not in link and "." not in link.rsplit("/", 1)[-1]:
                shapes.add(shape)
                waiting.append(link)
    state = context.storage_state()
    yield state, seen
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_panel_pages(browser: Browser, netra: Running, panel_paths: tuple[dict, list[str]], width: int, scheme: str) -> None:  # type: ignore[type-arg]
    """No finding on any page of the panel that can be reached, on a phone and on a wide screen."""
    state, paths = panel_paths
    assert {"/latihan", "/statistik", "/faq"} <= set(paths) and any("/faq/frasa/" in path for path in paths), paths
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="id-ID", storage_state=state)
    page = context.new_page()
    wrong = {}
    for path in paths:
        page.goto(netra.panel + path)
        if problems := judge(page):
            wrong[path] = problems
        elif (more := too_wide(page)) > 0:
            wrong[path] = f"{more} pixels too wide"
    context.close()
    assert not wrong, "\n\n".join(f"{path}\n{problems}" for path, problems in wrong.items())
