"""`lightrec judge` and `lightrec probe` as they are typed."""

import json

import pytest
from lightrec_audit.commands import places_of

from lightrec.__main__ import main as lightrec
from lightrec.errors import RecipeError


def test_names_of_simulators(tiny_run):
    (world,) = places_of("Greed:slate_size=3,ending=fixed")
    assert (world.what, world.settings) == ("Greed", {"slate_size": 3, "ending": "fixed"})
    assert [place.model for place in places_of(str(tiny_run))] == ["users_a", "users_b"]
    (one,) = places_of(f"{tiny_run}/users_b:max_steps=4")
    assert (one.what, one.model, one.settings) == (str(tiny_run), "users_b", {"max_steps": 4})
    with pytest.raises(RecipeError, match="A setting of Greed takes NAME=VALUE"):
        places_of("Greed:slate_size")


def test_both_print_and_write_what_they_found(tiny_run, tmp_path, capsys):
    files = [str(tmp_path / "deep" / name) for name in ("found.md", "found.json")]
    run = f"{tiny_run}:max_steps=4"
    commands = {
        "judge": ["judge", run, "--policy", "policy", "--modes", "free", "--sessions", "20"],
        "probe": ["probe", str(tiny_run), "--set", "max_steps=4", "--sessions", "20"],
    }
    for name, command in commands.items():
        assert lightrec([*command, "--out", *files]) == 0
        printed = capsys.readouterr()
        assert printed.out == (tmp_path / "deep" / "found.md").read_text()
        assert "play" in printed.err  # a bar of what is played
        values = json.loads((tmp_path / "deep" / "found.json").read_text())
        assert ("entries" in values) == (name == "judge")
        assert ("verdict" in values) == (name == "probe")


def test_what_cannot_be_done_is_told(tiny_run, tmp_path, capsys):
    def refused(*arguments):
        assert lightrec(list(map(str, arguments))) == 2
        return capsys.readouterr().err

    assert "at least 2" in refused("judge", tiny_run, "--policy", "random", "--sessions", 1)
    assert "end in .md or .json" in refused(
        "judge", tiny_run, "--policy", "random", "--out", tmp_path / "found.txt"
    )
    assert "There is no policy 'best' here" in refused("judge", tiny_run, "--policy", "best")
    assert "There is no 'Nowhere' among the simulators" in refused("probe", "Nowhere")
