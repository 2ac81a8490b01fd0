"""The data stage refuses bad input and leaves the run folder as it was."""

import pytest

from lightrec.__main__ import main

GOOD = "user,item,time\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(24))


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("user,item,time\na,x,soon\n", (), "column 'time': 'soon' is not a point in time"),
        ("user,item\na,x\n", ("--data.k_core", "9"), "Nothing is left of the log's 1 events"),
    ],
)
def test_nothing_is_left_of_a_refused_input(content, more, message, tmp_path, capsys):
    log, out = tmp_path / "log.csv", tmp_path / "runs" / "mine"
    line = ["run", "generic", "--log", str(log), "--out", str(out), "--until", "data"]
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == {"log.csv"}
    log.write_text(GOOD)
    assert main([*line, "--data.k_core", "1"]) == 0
    before = contents(out)
    assert "data/meta.json" in before
    log.write_text(content)
    assert main([*line, *more]) == 2
    assert contents(out) == before
