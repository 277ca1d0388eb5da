"""The page of a detector stands alone, shows what was found and missed, and names as they are."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from netaug.compare.formatting import NONE
from netaug.detect.confusion import pair_up
from netaug.report.confusions import confusions_table
from netaug.report.detection.examples import Mark, choose, count, marks
from netaug.report.detection.page import render_page
from netaug.report.detection.pictures import picture, place_names
from netaug.report.detection.predictions import Results
from netaug.report.detection.tables import coco_rows
from tests.detect.splits import random_split, rows, split

EVIL = "<script>alert('x')</script>\"&"
BOX, NEAR, OFF, LOW = (10, 10, 30, 30), (11, 10, 31, 30), (60, 60, 80, 80), (0, 80, 20, 100)


def results(rows_K7, truth, names) -> Results:
    return Results(
        title="runs/cells",
        split=f"test of voc, {len(truth)} images",
        rows_K7=rows_K7,
        truth=truth,
        class_names=names,
        score=("AP50", 61.25),
        name=lambda image: f"{image}{EVIL}.jpg",
        read=lambda image: torch.full((3, 100, 100), image, dtype=torch.uint8),
        facts={"MACs": "100 M", "run": EVIL},
        command="netaug eval runs/cells --report out",
    )


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def text() -> str:
    return render_page(results(*random_split(1, images=20), ("RBC", EVIL, "none")))


def test_the_page_asks_for_nothing_from_outside(text):
    page = Page(text)
    references = [
        value for name, value in page.attributes if name in {"src", "href", "xlink:href", "srcset", "data"}
    ]
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in references)
    assert sum(value.startswith("data:") for value in references) >= 6
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert "default-src 'none'; img-src data:" in text
    assert not re.search(r"https?://", text)


def test_names_are_shown_as_they_are(text):
    assert text.count("<script") == 1
    assert Page(text).text.count(EVIL) >= 5  # class, legend, matrix, files, facts


def test_ids_are_unique(text):
    ids = [value for name, value in Page(text).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_headline_and_every_part_are_there(text):
    shown = re.sub(r"\s+", " ", Page(text).text)
    places = [
        shown.index(part)
        for part in (
            "AP50 61.2 % on test of voc, 20 images",
            "Believed from score",
            "Classes",
            "Precision against recall",
            "F1 against confidence",
            "Confusions",
            "Best found",
            "Worst",
            "COCO's twelve numbers",
            "netaug eval runs/cells --report out",
        )
    ]
    assert places == sorted(places)


def test_many_classes_have_a_list_instead_of_a_matrix():
    truth = split([[(7, BOX), (8, OFF), (8, LOW)]], classes=30)
    found = rows((0, 7, 0.7, BOX), (0, 7, 0.8, OFF), (0, 7, 0.9, LOW))
    judged = results(found, truth, tuple(f"class{k}" for k in range(30)))
    table = confusions_table(judged.matrix, judged.class_names, "objects")
    assert [[cell.text for cell in row] for row in table.rows] == [["class8", "class7", "2", "100.0"]]
    text = render_page(judged)
    assert 'class="matrix"' not in text
    assert "taken for" in text


@pytest.mark.parametrize(
    ("found", "objects"),
    [
        (rows(), [[(0, BOX)]]),
        (rows((0, 0, 0.9, BOX)), [[]]),
        (rows(), [[]]),
        (rows((0, 0, 0.9, OFF)), [[(0, BOX)]]),
    ],
    ids=["no predictions", "no objects", "neither", "nothing right"],
)
def test_a_detector_that_finds_nothing_has_a_page_too(found, objects):
    text = render_page(results(found, split(objects, classes=1), ("cell",)))
    assert "No object is found by a prediction of its class." in text


def test_cocos_numbers_have_a_dash_where_there_is_nothing():
    named = dict(coco_rows(results(rows((0, 0, 0.9, BOX)), split([[(0, BOX)]], classes=1), ("cell",))))
    assert named["AP at overlap 0.50"] == "100.0 %"
    assert named["AP of large objects"] == NONE


def test_images_are_counted_and_chosen_by_what_was_found_in_them():
    truth = split(
        [
            [(0, BOX), (1, OFF)],  # 0: all found
            [(0, BOX), (1, OFF)],  # 1: one of another class, one unseen
            [],  # 2: nothing, nothing said
            [(0, BOX)],  # 3: found, and one on nothing
            [(0, BOX), (0, LOW), (1, OFF, "difficult")],  # 4: nothing said
        ],
        classes=2,
    )
    found = rows(
        (0, 0, 0.9, BOX),
        (0, 1, 0.9, OFF),
        (1, 1, 0.9, NEAR),
        (3, 0, 0.9, NEAR),
        (3, 0, 0.8, OFF),
        (4, 1, 0.9, OFF),
    )
    pairing = pair_up(found, truth)
    counts = count(pairing, truth)
    assert counts.right_N.tolist() == [2, 0, 0, 1, 0]
    assert counts.wrong_N.tolist() == [0, 1, 0, 1, 0]
    assert counts.missed_N.tolist() == [0, 2, 0, 0, 2]
    assert counts.unseen_N.tolist() == [0, 1, 0, 0, 2]
    np.testing.assert_allclose(counts.f1, [1, 0, np.nan, 2 / 3, 0])
    chosen = choose(counts)
    assert chosen.worst == (1, 4, 3)
    assert chosen.best == (0,)
    assert chosen.missed == ()
    drawn = [(mark.kind, mark.text) for mark in marks(1, pairing, truth, ("cat", "dog"))]
    assert drawn == [("missed", "dog missed"), ("other", "dog 0.90, is cat")]
    assert [mark.kind for mark in marks(3, pairing, truth, ("cat", "dog"))] == ["wrong", "right"]
    assert [mark.kind for mark in marks(4, pairing, truth, ("cat", "dog"))] == ["missed", "missed"]


def test_names_of_boxes_do_not_overlap():
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 90, (40, 2))
    drawn = [Mark("right", (x, y, x + 10, y + 10), "platelet 0") for x, y in corners.tolist()]
    size = 3.0
    places = place_names(drawn, 100, 100, size)
    areas = [(x, y - 2.5, x + 20, y + 0.5) for x, y in (place for place in places if place)]
    assert 8 < len(areas) < 40  # some have no room
    assert places[-1] is not None  # the last one lies on top, and chooses first
    assert all(area[0] >= 0 and area[2] <= 100 and area[1] >= 0 and area[3] <= 100 for area in areas)
    for one, other in itertools.combinations(areas, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    shown = str(picture(torch.zeros(3, 100, 100, dtype=torch.uint8), drawn, "cells"))
    assert shown.count("<title>") == 40  # under a pointer, all of them


def test_a_name_that_is_wider_than_the_picture_only_appears_under_a_pointer():
    assert place_names([Mark("right", (0, 0, 9, 9), "x" * 99)], 100, 100, 3.0) == [None]


def test_a_picture_has_its_boxes_in_pixels_of_the_file():
    truth = split([[(0, BOX)]], classes=1)
    found = marks(0, pair_up(rows((0, 0, 0.9, NEAR)), truth), truth, (EVIL,))
    drawn = str(picture(torch.zeros(3, 700, 1400, dtype=torch.uint8), found, EVIL))
    assert '<rect x="11.0" y="10.0" width="20.0" height="20.0"/>' in drawn
    assert 'viewBox="0 0 1400 700"' in drawn
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn
    assert len(drawn) < 20_000  # scaled down
