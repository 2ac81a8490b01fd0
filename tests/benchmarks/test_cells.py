"""Every cell that ships: what it names is there, and its settings are those of its recipes."""

from pathlib import Path

import pytest

from benchmarks import logs, run
from lightrec.__main__ import main
from lightrec.cli.run import stages

ROOT = Path(run.__file__).parent


def lines(name):
    """The command lines of `lightrec run` in a benchmark, each once."""
    found = {}
    for cell in run.load(name).cells:
        words = [*cell.command]
        if words[:2] == [run.LIGHTREC, "run"]:
            found[tuple(words[2:-4])] = cell.key
    return found


@pytest.mark.parametrize("name", run.names())
def test_what_a_cell_names_is_there(name):
    made = run.load(name)
    assert len({cell.key for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        words = cell.command
        if cell.peer:
            needed = [ROOT / "peers" / "requirements" / f"{cell.peer}.txt", Path(words[1])]
        else:
            needed = [ROOT / "measure" / f"{words[3]}.py"] if "-m" in words else []
        assert all(path.is_file() for path in needed)
        assert {each.partition(" ")[0] for each in cell.files} <= {*logs.WRITERS, *logs.SHARED}


def test_the_results_keep_their_limits():
    run.hold(run.names())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in run.names() if lines(name)])
def test_settings_are_those_of_the_recipes(name, monkeypatch, tmp_path):
    class Planned(Exception):
        """Nothing is run."""

    def planned(domain, *, overrides, until=None, offline=False, **_):
        values = stages.values_of(overrides.pop(stages.VALUES, []))
        _, found = stages.find_recipes(domain, ["far"] * offline, values, until)
        for stage in stages.plan(found, tmp_path, {}, 0, overrides, until):
            stages.check(stage)
        raise Planned

    monkeypatch.setattr(stages, "run", planned)
    for words in lines(name):
        with pytest.raises(Planned):
            main(["run", *words])
