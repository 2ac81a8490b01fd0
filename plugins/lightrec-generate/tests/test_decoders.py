"""Language models: a generator that reads titles by one, and its layers as a user tower."""

from contextlib import suppress
from unittest import SkipTest

import pytest
import torch
from lightrec_generate.decoder_tower import DecoderTower
from lightrec_generate.language import Decoder, LanguageGenerator, decoder_of
from lightrec_generate.policy import GeneratorPolicy
from lightrec_generate.tree import TreeGenerator
from lightrec_testing import PolicyChecks
from lightrec_testing.invariants import seeded

from lightrec.__main__ import main

ITEMS = 40
SAID = ("a red lamp", "tea of rope", "song", "red tea and a song of rope", "")
TITLES = ["", *(f"{SAID[i % 5]} {SAID[i % 3]}".strip() for i in range(ITEMS))]
HISTORY = torch.tensor([[0, 0, 3, 8], [5, 2, 30, 4], [0, 0, 0, 0]])


@pytest.fixture(scope="session")
def language(decoder, tiny_identifiers):
    with seeded(0):
        settings = {"size": 8, "max_length": 6, "words": 4, "layers": 1}
        made = LanguageGenerator(tiny_identifiers(), decoder, **settings)
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
    tokens = [decoder.start]
    for place, item in enumerate(row):
        cut = decoder.tokenizer(TITLES[item], add_special_tokens=False)["input_ids"]
        tokens += [*cut[:3], decoder.newline]
        with torch.no_grad():
            last = decoder.base.base_model(torch.tensor([tokens])).last_hidden_state[0, -1]
        expected = small[place] + language.leave(last)
        torch.testing.assert_close(language.states(HISTORY)[1, place], expected)


def test_what_is_frozen_stays_bit_for_bit_and_what_is_trained_is_all_that_is_saved(decoder):
    reader, tokens = Decoder(decoder).eval(), torch.arange(1, 11).view(2, 5)
    before = {name: p.detach().clone() for name, p in reader.named_parameters()}
    trained = {name for name, p in reader.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.1)
    for _ in range(2):  # what adapters are multiplied by starts at 0
        optimizer.zero_grad()
        reader.base(tokens).logits.log_softmax(-1)[..., 0].sum().backward()
        optimizer.step()
    changed = {n for n, p in reader.named_parameters() if not torch.equal(p, before[n])}
    assert changed <= trained
    assert len(changed) > 0.7 * len(trained)
    state = reader.state_dict()
    assert set(state) == trained
    loaded = Decoder(decoder).eval()
    loaded.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(loaded.base(tokens).logits, reader.base(tokens).logits)


def test_it_reads_as_the_model_reads_the_same_vectors(decoder):
    tower = DecoderTower(8, decoder, layers=None, dropout=0.0).eval()
    body, present = decoder_of(decoder)[0].base_model, torch.ones(2, 5, dtype=torch.bool)
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        read = tower.enter(tower.norm(x))
        expected = tower.leave(body(inputs_embeds=read).last_hidden_state)
        torch.testing.assert_close(tower(x, present), expected)
    random = DecoderTower(8, decoder, layers=None, pretrained=False)
    pairs = zip(random.body.parameters(), tower.body.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_beside_adapters_the_model_stays(decoder):
    tower = DecoderTower(8, decoder, layers=1, rank=2)
    learned = {name for name, each in tower.named_parameters() if each.requires_grad}
    assert all("lora_" in name for name in learned if name.startswith("body."))
    assert any("lora_" in name for name in learned)


def test_a_command_line_takes_all_layers_by_null(capsys):
    tower = "--model.init_args.tower"
    words = [tower, "DecoderTower", f"{tower}.init_args.layers", "null", "--print_config"]
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "-c", "generic/ranker", *words])
    assert "layers: null" in capsys.readouterr().out
