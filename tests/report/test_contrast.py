"""Contrast of the report in light and in dark: WCAG 2.2, level AA, 1.4.3 and 1.4.11."""

import re

import pytest

from lightrec.report import charts

TEXT, GRAPHIC = 4.5, 3.0
TEXTS = [*(("ink", back) for back in ("page", "shade", "own", "soft")), ("dim", "page")]
Color = tuple[float, ...]


def rgba(word: str) -> Color:
    """Red, green, blue and alpha, 0 to 1, of #rgb, #rgba, #rrggbb or #rrggbbaa."""
    digits = word.removeprefix("#")
    digits = digits if len(digits) > 4 else "".join(2 * digit for digit in digits)
    return tuple(int(digits[at : at + 2], 16) / 255 for at in range(0, len(digits), 2))


def over(front: Color, back: Color, opacity: float = 1.0) -> Color:
    alpha = opacity * (front[3] if len(front) > 3 else 1.0)
    return tuple(alpha * f + (1 - alpha) * b for f, b in zip(front[:3], back[:3], strict=True))


def luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return sum(part * c for part, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: Color, other: Color) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def page(tiny_run):
    return (tiny_run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(params=["light", "dark"])
def colors(request, page):
    """The page's colors by name, in one of its two looks."""
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", each)) for each in re.findall(r":root \{(.*?)\}", page)
    )
    assert light.keys() == dark.keys()
    return {name: rgba(word) for name, word in (dark if request.param == "dark" else light).items()}


def test_all_text_has_a_contrast_of_four_and_a_half(colors):
    behind = {
        "page": colors["page"],
        "soft": colors["soft"],
        "own": over(colors["own"], colors["page"], 0.1),
        "shade": over(colors["shade"], colors["page"]),
    }
    found = {pair: contrast(colors[pair[0]], behind[pair[1]]) for pair in TEXTS}
    assert all(value >= TEXT for value in found.values()), found
    # What has the focus is outlined.
    assert contrast(colors["own"], colors["page"]) >= GRAPHIC


def test_lines_bars_and_points_have_a_contrast_of_three(colors):
    solid = [colors["own"], colors["worse"], *map(rgba, (charts.OTHER, *charts.GROUPS))]
    assert all(contrast(color, colors["page"]) >= GRAPHIC for color in solid)
