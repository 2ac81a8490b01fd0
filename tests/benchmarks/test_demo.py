"""What the pages show of the demo, and that it is what a run left."""

import json
from pathlib import Path

import pytest

from benchmarks import demo
from lightrec.__main__ import main


@pytest.fixture
def recorded(tiny_run, tmp_path, monkeypatch, capsys) -> tuple[dict, str]:
    """The cell of a finished run, and what `lightrec recommend` prints."""
    user = "u1"
    monkeypatch.setattr(demo, "ASKED", f"recommend runs/video --user {user} -k 3")
    monkeypatch.setattr(demo, "PICTURE", tmp_path / "demo.png")
    demo.record(tiny_run, tmp_path)
    capsys.readouterr()
    main(["recommend", str(tiny_run), "--user", user, "-k", "3"])
    cell = {"metrics": json.loads((tmp_path / "metrics.json").read_text())}
    return {demo.KEY: cell}, capsys.readouterr().out


def test_pages_show_what_the_run_printed(recorded, tiny_run, tmp_path):
    cells, printed = recorded
    assert demo.summary(cells).startswith("```\nheld-out log")
    tables = demo.summary(cells).removeprefix("```\n").removesuffix("```").splitlines()
    # Ties may stand in another order.
    assert set(tables) <= set((Path(tiny_run) / "summary.txt").read_text().splitlines())
    assert demo.recommended(cells) == (
        f"```\n$ lightrec recommend runs/video --user u1 -k 3\n{printed}```"
    )
    assert (tmp_path / "demo.png").read_bytes() == (Path(tiny_run) / "report.png").read_bytes()
