"""`lightrec judge` and `lightrec probe` as they are typed."""

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


def test_what_cannot_be_done_is_told(tiny_run, tmp_path, capsys):
    def refused(*arguments):
        assert lightrec(list(map(str, arguments))) == 2
        return capsys.readouterr().err

    assert "at least 2" in refused("judge", tiny_run, "--policy", "random", "--sessions", 1)
    assert "end in .md or .json" in refused(
        "judge", tiny_run, "--policy", "random", "--out", tmp_path / "found.txt"
    )
    assert "There is no 'Nowhere' among the simulators" in refused("probe", "Nowhere")
