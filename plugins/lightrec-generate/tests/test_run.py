"""A run makes identifiers and a generator, from training events alone."""

import shutil
from dataclasses import replace

import pytest
import torch
from lightrec_generate.generator import Generator
from lightrec_generate.in_blend import GeneratorShares
from lightrec_generate.policy import GeneratorPolicy
from lightrec_testing.tiny import FAST

from lightrec.data.sequences import Sequences
from lightrec.errors import RecipeError
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.base import Evidence
from lightrec.run import Run
from lightrec.stages.run import run


def test_a_generator_learns_the_pattern_of_a_log(trained):
    done = Run(trained[0])
    assert not done.has("ranker")
    assert done.metrics("generator")["validation/ndcg@10"] > 0.5
    policy = GeneratorPolicy.from_run(done)
    made = Generator.load(done.folder("generator"))
    history = torch.tensor([[0, 1, 2, 3]])
    torch.testing.assert_close(policy.scores(history), made.scores(history))


def test_a_blend_keeps_the_generator_that_it_hears(trained, tmp_path):
    alone = shutil.copytree(trained[0], tmp_path / "alone")
    parts = f"[Popularity, {{class_path: GeneratorShares, init_args: {{generator: {alone}}}}}]"
    words = [*FAST["ranker"], f"--model.init_args.item_models={parts}"]
    arguments = trained[1] | {"overrides": {**FAST, "ranker": words}}
    blended = run("generic", out=tmp_path / "run", until="ranker", **arguments)
    made = Generator.load(Run(alone).folder("generator"))
    shutil.rmtree(alone)
    blend = Blend.load(Run(blended).folder("ranker"))
    assert blend.weights["GeneratorShares"] > 0
    histories = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 5]])
    expected = made.log_probabilities(made.user_vectors(histories)).exp()
    torch.testing.assert_close(blend.item_model("GeneratorShares").scores(histories), expected)


def test_a_generator_of_other_events_is_refused(trained):
    store = Run(trained[0]).data
    evidence = Evidence.of(store, torch.zeros(store.num_items + 1, 0))
    more = replace(evidence, log=Sequences.all_events(store))
    with pytest.raises(RecipeError, match="same settings of the stage data"):
        GeneratorShares(str(trained[0])).fit(more)
