"""A tiny generator of random weights, whose law is far from even."""

import pytest
import torch
from lightrec_generate.generator import Generator
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.tree import TreeGenerator
from lightrec_testing import tiny
from lightrec_testing.invariants import seeded

from lightrec.stages.run import run

ITEMS = 40


def identifiers_of(kind="residual", items=ITEMS, digits=3, size=8) -> Identifiers:
    generator = torch.Generator().manual_seed(0)
    words, chosen = (torch.randn(items + 1, n, generator=generator) for n in (6, 8))
    words[0] = chosen[0] = words[5] = chosen[7] = 0
    return Identifiers(items, 6, 8, digits, size, kind).fit(words, chosen)


@pytest.fixture(scope="session")
def tiny_identifiers():
    return identifiers_of


@pytest.fixture(scope="session")
def tiny_generator():
    def make(kind=TreeGenerator, items=ITEMS, seed=0, new=(), fresh=4.0) -> Generator:
        with seeded(seed):
            made = kind(identifiers_of(items=items), size=8, fresh=fresh)
            counts = torch.arange(items + 1)
            counts[[*new]] = 0
            made.start(counts)
            for parameter in made.parameters():
                torch.nn.init.normal_(parameter, std=0.5)
        return made.eval()

    return make


@pytest.fixture
def generator(tiny_generator) -> Generator:
    return tiny_generator()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run that has trained a generator, and with what it was made."""
    folder = tmp_path_factory.mktemp("trained")
    log, items = tiny.write_log(folder)
    overrides = {
        "values": ["--text_encoder=null"],
        "data": tiny.FAST["data"],
        "identifiers": ["--size=8", "--chosen_size=8"],
        "generator": ["--trainer.max_epochs=8", "--data.init_args.batch_size=16"],
    }
    arguments = {"log": log, "items": items, "overrides": overrides}
    return run("generator-alone", out=folder / "run", **arguments), arguments


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of an encoder of random weights, with a tokenizer of 13 words."""
    folder = tmp_path_factory.mktemp("encoder")
    tiny.tiny_text_model(folder)
    return str(folder)


@pytest.fixture(scope="session")
def decoder(tmp_path_factory, encoder):
    """The folder of a decoder of random weights, with the same tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    pytest.importorskip("peft")
    folder = str(tmp_path_factory.mktemp("decoder"))
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    size = {"vocab_size": 13, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = LlamaConfig(
        **size, num_attention_heads=2, num_key_value_heads=1, initializer_range=0.5
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
