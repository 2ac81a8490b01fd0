"""The report shows whether the forecasts of user models come true."""

import json

from lightrec.report import page
from lightrec.run import Run


def test_calibration_is_drawn_of_bins_with_enough_forecasts(tiny_run, monkeypatch):
    monkeypatch.setattr(page, "FORECASTS", 1)
    run = Run(tiny_run)
    counts = json.loads((run.folder("users_a") / "reliability.json").read_text())
    drawn = page.calibration(run, "a")
    bins = [each for each in zip(*counts, strict=True) if each[0] >= 1]
    assert [forecast / weight for weight, forecast, _ in bins] == list(drawn.x)
    assert [happened / weight for weight, _, happened in bins] == list(drawn.y)
    # Of each set one alternative, or nothing, came true, and its forecasts add up to 1.
    assert abs(sum(counts[1]) - sum(counts[2])) < 1e-3 * sum(counts[2])
    assert drawn.even
