"""What the pages show of the demo is what a run left."""

import json
from pathlib import Path

from benchmarks import demo


def test_pages_show_what_the_run_printed(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "PICTURE", tmp_path / "demo.png")
    demo.record(tiny_run, tmp_path)
    cells = {demo.KEY: {"metrics": json.loads((tmp_path / "metrics.json").read_text())}}
    assert demo.summary(cells).startswith("```\nheld-out log")
    tables = demo.summary(cells).removeprefix("```\n").removesuffix("```").splitlines()
    # Ties may stand in another order.
    assert set(tables) <= set((Path(tiny_run) / "summary.txt").read_text().splitlines())
    assert (tmp_path / "demo.png").read_bytes() == (Path(tiny_run) / "report.png").read_bytes()
