"""Mistakes in recipes and settings are told in sentences, before any stage begins."""

import pytest

from lightrec.errors import LightrecError, RecipeError
from lightrec.settings import make_of
from lightrec.stages.run import run

MISTAKES = [
    ("ranker", ["--data.init_args.text_encoder", "TextEncodr"], "Did you mean 'TextEncoder'?"),
    ("ranker", ["--data.init_args.text_encodr", "x"], "has no setting 'text_encodr'. Did"),
    ("ranker", ["--data.init_args.text_encoder", "Encoder"], "The class Encoder is abstract: name"),
    ("ranker", ["--model.init_args.size", "wide"], "The setting size takes int, not wide."),
    ("ranker", ["--model.class_path", "Rank"], "no class 'Rank' among those of the kind Stage"),
    ("ranker", ["--trainer.max_epohcs", "3"], "Trainer has no setting 'max_epohcs'. Did you"),
    ("data", ["--k_coer", "3"], "The stage data has no setting 'k_coer'. Did you mean 'k_core'?"),
    ("data", ["--k_core", "many"], "The setting k_core takes int, not many."),
    ("policy", ["--data.init_args.reward", "SurplusRewrd"], "Did you mean 'SurplusReward'?"),
    ("evaluate", ["--evaluators", "many"], "evaluators"),
]


@pytest.mark.parametrize(("stage", "settings", "message"), MISTAKES)
def test_a_mistake_in_any_stage_is_told_before_the_first(
    stage, settings, message, lightrec_tiny_files, tmp_path, capsys
):
    files = dict(zip(("log", "items"), lightrec_tiny_files, strict=True))
    until, out = "evaluate", tmp_path / "run"
    with pytest.raises(LightrecError) as raised:
        run("generic", out=out, **files, until=until, overrides={stage: settings})
    assert message in str(raised.value)
    assert "Union" not in str(raised.value)
    assert "[1/" not in capsys.readouterr().err
    assert not out.exists()


def test_a_setting_without_a_value_is_named():
    with pytest.raises(RecipeError, match="Give a value for size"):
        make_of(LinearTower, {})


class LinearTower:
    """Needs a size."""

    def __init__(self, size: int) -> None:
        self.size = size
