"""Words of a log stand in pictures as they are."""

import html
import re

from lightrec.evaluation.base import Bars, Curve, Intervals, Points, Sides
from lightrec.report import charts

WORDS = "under $1_000$ or $x_$"


def test_dollars_and_underscores_are_no_formulas():
    shown = [
        Bars({WORDS: 1.0, "_other": 2.0}, WORDS, WORDS),
        Intervals({WORDS: (0.0, -1.0, 1.0)}, WORDS),
        Sides({"real": [1.0], WORDS: [2.0]}, [WORDS], WORDS),
        Curve([0.0], [1.0], (WORDS, ""), WORDS, [WORDS]),
    ]
    shown.append(Points([0.0], [1.0], [0.5], [WORDS], [WORDS], WORDS))
    pictures = [html.unescape(charts.svg(chart)) for chart in shown]
    assert all(picture.count(WORDS) >= 3 for picture in pictures)
    assert "_other" in pictures[0]


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


def test_hostile_words_are_escaped():
    word = "</title></svg><script>alert(1)</script>"
    for chart in (
        Bars({word: 1.0}, word, word),
        Intervals({word: (0.0, -1.0, 1.0)}, word),
        Sides({"real": [1.0], word: [2.0]}, [word], word),
        Curve([0.0], [1.0], (word, ""), word, [word]),
        Points([0.0], [1.0], [0.5], [word], [word], word),
    ):
        picture = charts.svg(chart)
        assert "<script" not in picture
        assert picture.count("</svg>") == 1
