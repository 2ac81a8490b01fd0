"""The data stage refuses bad input and leaves the run folder as it was."""

from pathlib import Path

import pytest

from lightrec.__main__ import main

GOOD = "user,item,time\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(24))


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def run(log: Path, out: Path, *more: str) -> int:
    return main(["run", "generic", "--log", str(log), "--out", str(out), "--until", "data", *more])


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("user,item,time\na,x,soon\n", (), "column 'time': 'soon' is not a point in time"),
        ("user,item\na,x\nb\n", (), "Line 3 has 1 field where 2 are expected"),
        ("user\na\n", (), "No column was recognised as item"),
        ("user,item\na,x\n", ("--data.k_core", "9"), "Nothing is left of the log's 1 events"),
        ("", (), "The file is empty."),
    ],
)
def test_nothing_is_left_of_a_refused_input(
    content: str,
    more: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "runs" / "mine"
    log.write_text(content)
    assert run(log, out, *more) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert "Traceback" not in told.err
    assert contents(tmp_path) == {"log.csv"}
    log.write_text(GOOD)
    assert run(log, out, "--data.k_core", "1") == 0
    before = contents(out)
    assert "data/meta.json" in before
    log.write_text(content)
    assert run(log, out, *more) == 2
    assert contents(out) == before
