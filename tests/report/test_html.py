"""The page stands alone and shows names as they are."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from netaug.compare import Comparison
from netaug.compare.results import arm_rows
from netaug.compare.verdict import judge
from netaug.report import render_page
from netaug.report.html import flatten
from tests.compare.helpers import record, request

EVIL = "<script>alert('x')</script> & \"more\""


def comparison(**changes):
    tops = {"baseline": (70.0, 70.5), "netaug": (71.0, 71.2), "baseline-long": (70.9, 71.5)}
    runs = [record(arm, seed, top) for arm, values in tops.items() for seed, top in enumerate(values)]
    runs += [record("netaug", 0, 69.0, phase="tune", lr=0.4), record("baseline", 0, None, phase="tune")]
    asked = request(Path("x"), lrs=(0.1, 0.4), **changes)
    rows = arm_rows(runs)
    settings = {"train": {"epochs": 3}, "model": {"name": EVIL}}
    environment = {"cpu": EVIL}
    verdict = judge(asked, rows, runs, {"netaug": 0.1})
    return Comparison(asked, rows, tuple(runs), verdict, settings, environment)


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
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert "@import" not in page_text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page_text))
    assert "http" not in page_text


def test_names_are_escaped(page_text):
    assert "<script" not in page_text
    assert Page(page_text).text.count(EVIL) >= 4  # title, heading, settings, machine


def test_ids_are_unique_and_every_reference_resolves(page_text):
    ids = [value for name, value in Page(page_text).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", page_text))
    assert targets
    assert targets <= set(ids)


def test_verdict_comes_before_everything_else(page_text):
    text = Page(page_text).text
    places = [text.index(part) for part in ("At equal epochs", "Arms", "Seed by seed", "Learning curves")]
    assert places == sorted(places)
    for part in ("failed", "held out", "netaug compare", "train.epochs"):
        assert part in text


def test_page_without_pairs_or_curves_still_renders():
    whole = comparison()
    runs = (record("netaug", 0, 71.0, epochs=1), record("baseline", 1, None))
    page = render_page(replace(whole, rows=arm_rows(runs), runs=runs, settings={}, environment={}))
    assert "Seed by seed" not in page
    assert "nan" not in page.lower()


def test_flatten_keeps_order_and_spells_yaml_values():
    content = {"b": {"x": None, "y": (1.0, 2)}, "a": True, "c": {}, "d": []}
    assert flatten(content) == [("b.x", "null"), ("b.y", "1.0, 2"), ("a", "true"), ("c", "{}"), ("d", "[]")]
