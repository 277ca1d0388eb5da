"""In a real browser the page is quiet, asks for nothing, sorts, shows its pictures and fits a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netaug.report.classification.page import write_page as write_classifier_page
from netaug.report.comparison_pages import write_page
from tests.report.browser import CHROMIUM, Browser, browser
from tests.report.helpers import EVIL, comparison, plan_comparison
from tests.report.test_classification import few

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium here: `make page-test` installs it"),
]
_COLUMN = """(header) => {
  const table = document.querySelector('table.sortable');
  const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.replaceAll('\\xa0', ' ') === header);
  return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent.trim());
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(comparison(recipe=EVIL, epochs=12), path)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a plan of many arms."""
    path = tmp_path_factory.mktemp("large") / "report.html"
    write_page(plan_comparison(), path)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a classifier."""
    path = tmp_path_factory.mktemp("classifier") / "classification.html"
    write_classifier_page(few(), path)
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def _click_heading(tab: Browser, header: str) -> None:
    tab.run(
        "[...document.querySelector('table.sortable').tHead.rows[0].cells]"
        f".find((cell) => cell.textContent.replaceAll('\\xa0', ' ') === '{header}').querySelector('button').click()"
    )


@pytest.mark.parametrize("which", ["page", "large", "classifier"])
def test_the_page_is_quiet_and_asks_for_nothing(
    tab: Browser, which: str, request: pytest.FixtureRequest
) -> None:
    page: Path = request.getfixturevalue(which)
    tab.open(page, 1200)
    tab.run("new Promise((done) => setTimeout(done, 200))")
    assert tab.complaints() == []
    assert [url for url in tab.requests() if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert tab.run("document.scripts.length") == 1
    assert tab.run("document.querySelectorAll('iframe, object, link').length") == 0
    assert tab.run("[...document.images].every((one) => one.src.startsWith('data:'))")


def test_a_script_that_got_into_the_page_would_not_run(tab: Browser, page: Path, tmp_path: Path) -> None:
    """Should escaping ever fail: only the page's own script has the hash that the policy asks for."""
    attack = "<script>document.title = 'taken'</script><img src='https://evil.test/x' onerror='document.title = 1'>"
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("<main>", f"<main>{attack}"))
    tab.open(broken, 1200)
    tab.run("new Promise((done) => setTimeout(done, 200))")
    assert tab.run("document.title").endswith("NetAug compared")
    blocked = [e for e in tab.events if e.get("method") == "Network.loadingFailed"]
    assert {event["params"].get("blockedReason") for event in blocked} <= {"csp"}
    assert any("Content Security Policy" in text for text in tab.complaints())


def test_a_click_on_a_heading_sorts_and_another_turns_the_order(tab: Browser, page: Path) -> None:
    tab.open(page, 1200)
    before = tab.run(f"({_COLUMN})('arm')")
    assert before == ["baseline", "netaug", "baseline-long"]
    _click_heading(tab, "top-1 %")
    assert tab.run(f"({_COLUMN})('arm')") == ["baseline", "baseline-long", "netaug"]
    _click_heading(tab, "top-1 %")
    assert tab.run(f"({_COLUMN})('arm')") == ["netaug", "baseline-long", "baseline"]
    assert tab.run("document.querySelectorAll('[aria-sort=descending]').length") == 1
    _click_heading(tab, "arm")
    assert tab.run(f"({_COLUMN})('arm')") == ["baseline", "baseline-long", "netaug"]
    _click_heading(tab, "vs baseline")  # the baseline has none: last in both orders
    assert tab.run(f"({_COLUMN})('arm')")[-1] == "baseline"
    _click_heading(tab, "vs baseline")
    assert tab.run(f"({_COLUMN})('arm')") == ["netaug", "baseline-long", "baseline"]


def test_pictures_are_drawn(tab: Browser, page: Path) -> None:
    tab.open(page, 1200)
    boxes = tab.run(
        "[...document.querySelectorAll('svg.plot')].filter((one) => one.checkVisibility())"
        ".map((one) => [one.getBoundingClientRect().width,"
        " one.querySelectorAll('path').length, one.getBBox().height])"
    )
    assert len(boxes) == 7  # pairs, two curves, two costs, two of gradients
    assert all(width > 250 and paths > 10 and height > 50 for width, paths, height in boxes)


def test_a_switch_leaves_out_the_start_of_curves(tab: Browser, page: Path) -> None:
    tab.open(page, 1200)
    shown = (
        "[...document.querySelector('.switched').querySelectorAll('svg')].map((one) => one.checkVisibility())"
    )
    assert tab.run(shown) == [True, False]  # all of it, unless someone asks
    tab.run("document.querySelector('.switched input').click()")
    assert tab.run(shown) == [False, True]


_LINES = "document.querySelector('svg.plot[aria-label*=\" over epoch\"]')"


def test_values_appear_under_the_pointer_and_by_the_arrow_keys(tab: Browser, page: Path) -> None:
    tab.open(page, 1200)
    assert tab.run("document.getElementById('values').hidden")
    left, top, width, height = tab.run(
        f"(() => {{ const one = {_LINES}; one.scrollIntoView();"
        " const { x, y, width, height } = one.getBoundingClientRect(); return [x, y, width, height]; })()"
    )
    tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=left + width - 20, y=top + height / 2)
    at_the_end = tab.run("document.getElementById('values').innerText")
    assert "epoch 12; top-1, %" in at_the_end
    assert all(f"\n{arm} " in at_the_end for arm in ("baseline", "netaug"))
    assert "±" in at_the_end
    tab.run(f"{_LINES}.focus()")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft")
    assert "epoch 11; top-1, %" in tab.run("document.getElementById('values').innerText")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape")
    assert tab.run("document.getElementById('values').hidden")
    assert tab.complaints() == []


def test_points_of_the_comparison_have_values_too(tab: Browser, page: Path) -> None:
    tab.open(page, 1200)
    tab.run("document.querySelector('.pairs svg.plot').focus()")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
    first = tab.run("document.getElementById('values').innerText")
    assert re.fullmatch(r"netaug vs baseline seed 0: \+\d+\.\d", first)
    left, top = tab.run(
        "(() => { const { x, y, width, height } = document.querySelector('.pairs svg.plot circle')"
        ".getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()"
    )
    tab.run("document.querySelector('.pairs svg.plot').blur()")
    tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=left + 2, y=top - 2)
    assert tab.run("document.getElementById('values').innerText") == first
    assert tab.complaints() == []


def test_what_an_arm_cost_is_said_at_its_mark(tab: Browser, large: Path) -> None:
    tab.open(large, 1200)
    tab.run("document.querySelector('svg.plot[aria-label*=\"cost of its training\"]').focus()")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
    shown = tab.run("document.getElementById('values').innerText")
    assert re.fullmatch(r"\S+ \d+\.\d( ± \d+\.\d)? % after \S+ \S+.*", shown)
    assert tab.complaints() == []


def test_a_phone_shows_what_is_compared_without_scrolling_the_table(tab: Browser, page: Path) -> None:
    tab.open(page, 400, 740)
    edges = tab.run(
        "[...document.querySelector('table.sortable').querySelectorAll('.effect')]"
        ".map((one) => one.getBoundingClientRect().right)"
    )
    assert edges
    assert max(edges) <= 400


@pytest.mark.parametrize(
    ("which", "dark"), [("page", False), ("page", True), ("large", False), ("classifier", True)]
)
def test_a_phone_needs_no_sideways_scrolling(
    tab: Browser, which: str, dark: bool, request: pytest.FixtureRequest
) -> None:
    tab.open(request.getfixturevalue(which), 360, 740, dark=dark)
    tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") == 360
    outside = tab.run(
        "[...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll, svg')"
        " && one.getBoundingClientRect().right > 360.5).map((one) => one.outerHTML.slice(0, 80))"
    )
    assert outside == []


def test_the_switch_overrides_the_system(tab: Browser, page: Path) -> None:
    def color() -> str:
        return str(tab.run("getComputedStyle(document.body).backgroundColor"))

    tab.open(page, 1200, dark=True)
    tab.run("localStorage.clear()")
    tab.open(page, 1200, dark=True)
    dark = color()
    tab.run("document.getElementById('theme').click()")
    light = color()
    assert light != dark
    tab.open(page, 1200, dark=True)
    assert color() == light  # remembered
    tab.run("localStorage.clear()")
    tab.open(page, 1200)
    assert color() == light
    tab.run("document.getElementById('theme').click(), document.getElementById('theme').click()")
    assert color() == dark
    tab.ask("Emulation.setEmulatedMedia", media="print")
    assert color() not in (dark, light)  # paper has no background of ours
    assert tab.run("getComputedStyle(document.documentElement).getPropertyValue('--ink')") == "#1b1f24"
