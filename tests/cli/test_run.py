"""How the settings of stages are told on the command line."""

import pytest

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
