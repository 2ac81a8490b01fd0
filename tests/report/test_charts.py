"""Words of a log stand in pictures as they are."""

import html
import re

import pytest

from lightrec.evaluation.base import Bars, Curve, Intervals, Points, Sides
from lightrec.report import charts


@pytest.mark.parametrize("word", ["$1_000$ or $x_$", "</title></svg><script>alert(1)</script>"])
def test_words_are_neither_formulas_nor_marks(word):
    for chart in (
        Bars({word: 1.0, "_other": 2.0}, word, word),
        Intervals({word: (0.0, -1.0, 1.0)}, word),
        Sides({"real": [1.0], word: [2.0]}, [word], word),
        Curve([0.0], [1.0], (word, ""), word, [word]),
        Points([0.0], [1.0], [0.5], [word], [word], word),
    ):
        picture = charts.svg(chart)
        assert html.unescape(picture).count(word) >= 3
        assert "<script" not in picture
        assert picture.count("</svg>") == 1


def test_each_part_says_what_it_is_when_pointed_at():
    points = Points([0, 1, 2], [0, 1, 0], [0, 1, 0.1], ["a", "b", ""], ["x & <y>", "q", "z"], "map")
    picture = charts.svg(points)
    said = re.findall(r'<use [^>]*x="([\d.]+)"[^>]*><title>(.*?)</title></use>', picture)
    # From left to right as on the map, whatever order they are drawn in.
    assert [html.unescape(word) for _, word in sorted(said, key=lambda p: float(p[0]))] == [
        "x & <y>",
        "q",
        "z",
    ]
    lines = html.unescape(charts.svg(Intervals({"a \"b\" 'c'": (0.1, 0.05, 0.2)}, "lead")))
    assert "<title>a \"b\" 'c': +0.100 (+0.050 to +0.200)</title>" in lines
    assert "<title>1: 2</title>" in charts.svg(Curve([1.0], [2.0], even=True))
