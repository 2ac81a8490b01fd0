"""Mistakes in recipes and settings are told in sentences, before any stage begins."""

import pytest

from lightrec.errors import LightrecError, RecipeError
from lightrec.nn.towers import CausalTransformer
from lightrec.policies.base import Policy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.settings import make_of, mistake
from lightrec.stages.run import run
from lightrec.stages.train import RecipeParser

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
        make_of(CausalTransformer, {})


class Loud(Policy):
    """Passes what its constructor takes on through two ``from_run``."""

    def __init__(self, num_items: int, loudness: float = 1.0) -> None:
        super().__init__(num_items)

    @classmethod
    def from_run(cls, run, even: bool = True, **settings):
        return super().from_run(run, **settings)

    def distribution(self, state, slate_size=1):
        raise NotImplementedError


class LoudCandidates(CandidatePolicy):
    """The same, of a base class that gives parts of the run to the constructor."""

    def __init__(self, ranker, user_model=None, loudness: float = 1.0, **settings) -> None:
        super().__init__(ranker, user_model, **settings)

    @classmethod
    def from_run(cls, run, **settings):
        return super().from_run(run, **settings)


@pytest.mark.parametrize(
    ("kind", "names"),
    [(Loud, {"even", "loudness"}), (LoudCandidates, {"loudness", "use_utilities", "size"})],
)
def test_settings_that_go_through_two_from_run_are_known_and_others_refused_by_name(kind, names):
    settings = {*RecipeParser(exit_on_error=False).add_class_arguments(kind)}
    assert names <= settings
    assert not {"run", "num_items", "ranker", "user_model"} & settings
    assert not mistake(kind, {"loudness": 2.0})
    assert mistake(kind, {"loudnes": 2}).startswith(f"{kind.__name__} has no setting 'loudnes'.")
