"""A decoder's layers as a user tower."""

import pytest
import torch
from lightrec_generate.decoder_tower import DecoderTower
from lightrec_generate.language import decoder_of

from lightrec.__main__ import main


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
