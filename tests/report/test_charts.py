"""Words of a log stand in pictures as they are."""

import html

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
