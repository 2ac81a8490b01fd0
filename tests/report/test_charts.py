"""Words of a log stand in pictures as they are."""

import html

from lightrec.evaluation.base import Bars, Curve, Intervals, Sides
from lightrec.report import charts

WORDS = "under $1_000$ or $x_$"


def test_dollars_and_underscores_are_no_formulas():
    shown = [
        Bars({WORDS: 1.0, "_other": 2.0}, WORDS, WORDS),
        Intervals({WORDS: (0.0, -1.0, 1.0)}, WORDS),
        Sides({"real": [1.0], WORDS: [2.0]}, [WORDS], WORDS),
        Curve([0.0], [1.0], (WORDS, ""), WORDS, [WORDS]),
    ]
    picture = html.unescape(charts.svg(shown))
    assert picture.count(WORDS) >= 10
    assert charts.svg([]) == ""
    assert "_other" in picture
