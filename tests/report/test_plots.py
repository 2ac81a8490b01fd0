"""Words of a log stand in pictures as they are."""

import html

from lightrec.report import plots

WORDS = "under $1_000$ or $x_$"


def test_dollars_and_underscores_are_no_formulas():
    drawn, axes = plots.figure(12, 2, 4)
    plots.bars(axes[0], {WORDS: 1.0, "_other": 2.0}, WORDS, WORDS)
    plots.intervals(axes[1], {WORDS: (0.0, -1.0, 1.0)}, WORDS)
    plots.side_by_side(axes[2], [WORDS], {"real": [1.0], WORDS: [2.0]}, WORDS)
    axes[3].set_title(WORDS)
    picture = html.unescape(plots.svg(drawn))
    assert picture.count(WORDS) >= 8
    assert "_other" in picture
