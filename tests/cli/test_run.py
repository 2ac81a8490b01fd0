"""How the settings of stages are told on the command line."""

from lightrec.cli.run import stage_overrides


def test_settings_are_sorted_by_stage_and_keep_their_values():
    arguments = ["--ranker.trainer.max_epochs", "5", "--data.k_core=3", "--ranker.model.x", "a"]
    assert stage_overrides(arguments, ("data", "ranker")) == {
        "ranker": ["--trainer.max_epochs", "5", "--model.x", "a"],
        "data": ["--k_core=3"],
    }
