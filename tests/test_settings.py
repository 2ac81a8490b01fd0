"""Mistakes in recipes and settings are told in sentences, before any stage begins."""

import pytest

from lightrec.errors import LightrecError
from lightrec.settings import in_sentences
from lightrec.stages.run import run

MISTAKES = [
    ("ranker", ["--data.init_args.text_encoder", "TextEncodr"], "Did you mean 'TextEncoder'?"),
    ("ranker", ["--data.init_args.text_encodr", "x"], "There is no setting 'text_encodr' here"),
    ("ranker", ["--model.init_args.size", "wide"], "The setting size takes int, not wide."),
    ("ranker", ["--model.class_path", "Rank"], "no class 'Rank' among those of the kind Stage"),
    ("ranker", ["--trainer.max_epohcs", "3"], "There is no setting '--trainer.max_epohcs' here"),
    ("data", ["--k_coer", "3"], "There is no setting '--k_coer' here"),
    ("data", ["--k_core", "many"], "The setting k_core takes int, not many."),
    (
        "policy",
        ["--data.init_args.reward", "SurplusRewrd"],
        "Did you mean 'SurplusReward'?",
    ),
    ("assumptions", ["--rounds", "many"], "The setting rounds takes"),
]


@pytest.mark.parametrize(("stage", "settings", "told"), MISTAKES)
def test_a_mistake_in_any_stage_is_told_before_the_first(
    stage, settings, told, lightrec_tiny_files, tmp_path, capsys
):
    log, items = lightrec_tiny_files
    out = tmp_path / "run"
    with pytest.raises(LightrecError) as raised:
        run(
            "generic",
            out=out,
            log=log,
            items=items,
            until="assumptions",
            overrides={stage: settings},
        )
    assert told in str(raised.value)
    assert "Union" not in str(raised.value)
    assert "[1/" not in capsys.readouterr().err
    assert not out.exists()


def test_what_is_not_understood_stays_as_it_is():
    assert in_sentences("Something else.") == "Something else."
