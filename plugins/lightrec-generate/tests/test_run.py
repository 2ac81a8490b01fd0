"""A run makes identifiers and a generator, from training events alone."""

import torch
from lightrec_generate.generator import Generator
from lightrec_generate.policy import GeneratorPolicy

from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.testing.tiny import FAST, write_log

SETTINGS = {
    "values": ["--text_encoder=null"],
    "data": FAST["data"],
    "identifiers": ["--size=8", "--chosen_size=8"],
    "generator": ["--trainer.max_epochs=8", "--data.init_args.batch_size=16"],
}


def test_a_generator_learns_the_pattern_of_a_log(tmp_path):
    log, items = write_log(tmp_path)
    given = {"log": log, "items": items, "overrides": SETTINGS}
    found = Run(run("generator-alone", out=tmp_path / "run", **given))
    assert not found.has("ranker")
    assert found.metrics("generator")["validation/ndcg@10"] > 0.5
    policy = GeneratorPolicy.from_run(found)
    made = Generator.load(found.folder("generator"))
    history = torch.tensor([[0, 1, 2, 3]])
    torch.testing.assert_close(policy.scores({"history": history}), made.scores(history))
