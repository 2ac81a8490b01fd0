"""A generator that reads titles by a language model keeps the law, and files of its own weights."""

from contextlib import suppress
from unittest import SkipTest

import pytest
import torch
from lightrec_generate.decoding import beam
from lightrec_generate.generator import Generator
from lightrec_generate.language import LanguageGenerator
from lightrec_generate.policy import GeneratorPolicy
from lightrec_generate.tree import TreeGenerator
from safetensors.torch import load_file

from lightrec.nn.part import WEIGHTS
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.testing import PolicyChecks
from lightrec.testing.invariants import seeded
from lightrec.testing.tiny import FAST, write_log

ITEMS = 40
SAID = ("a red lamp", "tea of rope", "song", "red tea and a song of rope", "")
TITLES = ["", *(f"{SAID[i % 5]} {SAID[i % 3]}".strip() for i in range(ITEMS))]
HISTORY = torch.tensor([[0, 0, 3, 8], [5, 2, 30, 4], [0, 0, 0, 0]])


@pytest.fixture(scope="session")
def language(decoder, tiny_identifiers):
    with seeded(0):
        given = {"size": 8, "max_length": 6, "words": 4, "layers": 1}
        made = LanguageGenerator(tiny_identifiers(), decoder, **given)
        made.start(torch.arange(ITEMS + 1), TITLES)
        for _name, parameter in made.named_parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_the_policy_keeps_the_contract(language):
    checks = [*PolicyChecks(lambda: GeneratorPolicy(language), part="language")]
    # That check changes all weights, and the base model's are not saved.
    left = [check for check in checks if "saved" not in check.id]
    assert len(left) == len(checks) - 1
    for check in left:
        with suppress(SkipTest):  # of one check, not of those after it
            check()


def test_a_state_is_the_towers_and_what_the_model_says_at_the_lines_end(language):
    row = [5, 2, 30, 4]
    small = TreeGenerator.states(language, HISTORY)[1]
    decoder = language.language
    told = [decoder.start]
    for place, item in enumerate(row):
        cut = decoder.tokenizer(TITLES[item], add_special_tokens=False)["input_ids"]
        told += [*cut[:3], decoder.newline]
        with torch.no_grad():
            last = decoder.base.base_model(torch.tensor([told])).last_hidden_state[0, -1]
        expected = small[place] + language.leave(last)
        torch.testing.assert_close(language.states(HISTORY)[1, place], expected)


def test_padding_and_what_is_too_long_ago_change_nothing(language):
    found = language.user_vectors(HISTORY)
    torch.testing.assert_close(found[:2, : language.size], language.states(HISTORY)[:2, -1])
    assert (found[2] == 0).all()
    padded = torch.nn.functional.pad(HISTORY, (2, 0))
    torch.testing.assert_close(language.user_vectors(padded), found)
    full = torch.tensor([[7, 9, 1, 5, 2, 30, 4]])
    torch.testing.assert_close(language.user_vectors(full), language.user_vectors(full[:, 1:]))


def test_the_law_and_beams_are_those_of_a_tree(language):
    users = language.user_vectors(HISTORY).detach()
    law = language.log_probabilities(users).detach()
    torch.testing.assert_close(law.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)
    found = beam(language, users, ITEMS)
    assert torch.equal(found.items, law.topk(ITEMS).indices)
    states = users[:1, : language.size].expand(ITEMS, -1)
    torch.testing.assert_close(
        -language.loss(states, torch.arange(1, ITEMS + 1)), law[0, 1:], atol=1e-5, rtol=1e-5
    )


def test_bits_do_not_reach_the_law(language):
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = language.scores(HISTORY)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)


def test_files_hold_what_was_trained_alone(language, tmp_path):
    language.save_pretrained(tmp_path)
    base = [name for name in load_file(tmp_path / WEIGHTS) if ".base." in name]
    assert base
    assert all("lora" in name for name in base)
    again = Generator.load(tmp_path)
    torch.testing.assert_close(again.scores(HISTORY), language.scores(HISTORY))


def test_adapters_of_the_upper_layers_alone_are_trained(language):
    made = language.train()
    made.loss(made.states(HISTORY[:2])[:, -1], torch.tensor([6, 7])).sum().backward()
    changed = {name for name, p in made.language.named_parameters() if p.grad is not None}
    made.eval()
    assert changed
    assert all("layers.1." in name and "lora" in name for name in changed)


def test_a_run_learns_from_words(decoder, tmp_path):
    log, items = write_log(tmp_path)
    generator = "--model.init_args.generator"
    settings = {
        "values": ["--text_encoder=null"],
        "data": FAST["data"],
        "identifiers": ["--size=8", "--chosen_size=8"],
        "generator": [
            *(f"{generator}=LanguageGenerator", f"{generator}.init_args.model={decoder}"),
            *(f"{generator}.init_args.size=16", "--trainer.accumulate_grad_batches=2"),
            *("--trainer.max_epochs=6", "--data.init_args.batch_size=8"),
        ],
    }
    found = Run(
        run("generator-alone", out=tmp_path / "run", log=log, items=items, overrides=settings)
    )
    assert found.metrics("generator")["validation/ndcg@10"] > 0.5
    assert isinstance(Generator.load(found.folder("generator")), LanguageGenerator)
