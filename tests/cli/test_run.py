"""How the settings of stages are told on the command line."""

import pytest

from lightrec.__main__ import main
from lightrec.cli.run import stage_overrides
from lightrec.errors import RecipeError

STAGES = ("data", "ranker")


def test_settings_are_sorted_by_stage_and_keep_their_values():
    arguments = ["--ranker.trainer.max_epochs", "5", "--data.k_core=3", "--ranker.model.x", "a"]
    assert stage_overrides(arguments, STAGES) == {
        "ranker": ["--trainer.max_epochs", "5", "--model.x", "a"],
        "data": ["--k_core=3"],
    }


@pytest.mark.parametrize("arguments", [["stray"], ["--colour", "red"], ["--coder.x", "1"]])
def test_what_belongs_to_no_stage_is_refused(arguments):
    with pytest.raises(RecipeError):
        stage_overrides(arguments, STAGES)


def test_a_log_is_read_by_the_reader_that_is_named(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user,item\na,b\n")
    words = ["run", "generic", "--log", str(tmp_path / "log.csv"), "--out", str(tmp_path / "run")]
    assert main([*words, "--reader", "NoSuchReader"]) == 2
    assert "'NoSuchReader'" in capsys.readouterr().err
