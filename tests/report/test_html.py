"""The page stands alone and shows names as they are."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from netaug.compare.formatting import MINUS
from netaug.compare.results import arm_rows
from netaug.report.comparison_pages import render_page
from netaug.report.template import flatten
from tests.compare.helpers import record
from tests.report.helpers import EVIL, comparison


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page_text():
    return render_page(comparison(recipe=EVIL))


def test_page_asks_for_nothing_from_outside(page_text):
    page = Page(page_text)
    references = [
        value for name, value in page.attributes if name in {"src", "href", "xlink:href", "srcset", "data"}
    ]
    assert references  # the plots refer to their own markers
    assert all(value.startswith("#") for value in references)
    assert not {"link", "iframe", "img", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "@import" not in page_text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page_text))
    assert set(re.findall(r"https?://[^/\s]*", page_text)) == {"http://evil.test"}  # shown, as text


def test_names_are_escaped(page_text):
    assert page_text.count("<script") == 1
    assert "alert(" not in page_text[page_text.index("<script>") :]
    assert Page(page_text).text.count(EVIL) >= 5  # title, heading, settings, machine, what a run said


def test_the_policy_names_the_page_s_own_script(page_text):
    script = re.search(r"<script>(.*)</script>", page_text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page_text
    assert "default-src 'none'" in page_text


def test_ids_are_unique_and_every_reference_resolves(page_text):
    ids = [value for name, value in Page(page_text).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", page_text))
    assert targets
    assert targets <= set(ids)


def test_verdict_comes_before_everything_else(page_text):
    text = Page(page_text).text
    parts = (
        "At equal epochs",
        "Arms",
        "Seed by seed",
        "Learning curves",
        "against what it costs",
        "shared weights",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    for part in ("failed", "held out", "netaug compare", "train.epochs"):
        assert part in text


def test_page_without_pairs_or_curves_still_renders():
    whole = comparison()
    runs = (record("netaug", 0, 71.0, epochs=1), record("baseline", 1, None))
    page = render_page(replace(whole, rows=arm_rows(runs), runs=runs, settings={}, environment={}))
    assert "Seed by seed" not in page
    assert "shared weights" not in page  # no gradients were measured
    assert "nan" not in re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL).lower()


def test_better_and_worse_are_told_by_sign_and_color():
    runs = [record("baseline", seed, 70.0 + seed) for seed in (0, 1)]
    runs += [record("netaug", seed, 68.0 + 1.01 * seed) for seed in (0, 1)]
    runs += [record("baseline-long", seed, 72.0 + 1.01 * seed) for seed in (0, 1)]
    page = render_page(replace(comparison(), rows=arm_rows(runs), runs=tuple(runs)))
    assert re.search(rf'<span class="effect lower" title="worse">▼ {MINUS}2.0', page)
    assert re.search(r'<span class="effect higher" title="better">▲ \+2.0', page)


def test_a_large_comparison_stays_small():
    """Far more epochs than curves can show: the file does not grow with them."""
    assert len(render_page(comparison(epochs=2000)).encode()) < 500_000


def test_commands_are_copied_to_the_letter():
    page = render_page(comparison(recipe="my 5 s/recipe"))
    assert "netaug train &#39;my 5 s/recipe&#39; --out x/" in page


def test_flatten_keeps_order_and_spells_yaml_values():
    content = {"b": {"x": None, "y": (1.0, 2)}, "a": True, "c": {}, "d": []}
    assert flatten(content) == [("b.x", "null"), ("b.y", "1.0, 2"), ("a", "true"), ("c", "{}"), ("d", "[]")]
