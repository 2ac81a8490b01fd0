"""Upper layers, adapters or all of an encoder: what is trained, what stays, and what is left."""

import pytest
import torch
from safetensors.torch import load_file

from lightrec.encoders.layers import Cut, Layers
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError
from tests.encoders.topics import TEXTS, fitted, texts_of, written

pytestmark = pytest.mark.usefixtures("small")
LAYERS = {"learning_rate": 0.003, "layers": 1, "tune": "layers"}
UPPER = "encoder.layer.1."


def weights_of(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("tune", "layers"), [("layers", 1), ("layers", None), ("lora", 1), ("lora", None), ("full", 1)]
)
def test_layers_and_adapters_learn_and_all_else_stays_bit_for_bit(
    folders, tmp_path, capsys, tune, layers
):
    if tune == "lora":
        pytest.importorskip("peft")
    given = {**LAYERS, "tune": tune, "layers": layers}
    module, data = fitted(folders, tmp_path, epochs=20, given=given)
    metrics = written(module, folder := tmp_path / "text")
    assert metrics["text/tuned/recall@10"] > metrics["text/frozen/recall@10"] + 0.04
    before = {name: value.float() for name, value in weights_of(folders[1]).items()}
    after = weights_of(folder)
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    linear = {n for n in before if n.startswith("encoder.") and before[n].ndim == 2}
    expected = {
        ("layers", 1): {name for name in before if name.startswith(UPPER)},
        ("layers", None): {name for name in before if name.startswith("encoder.")},
        ("lora", 1): {name for name in linear if name.startswith(UPPER)},
        ("lora", None): linear,
        ("full", 1): {name for name in before if not name.startswith("pooler.")},
    }[tune, layers]
    assert changed == expected
    # The folder is any TextEncoder's, and the states that were rounded have changed little.
    again = TextEncoder(str(folder), device="cpu").encode(data.examples.texts)
    torch.testing.assert_close(again, module.vectors()[1:], atol=0.03, rtol=0)
    kept = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(kept)
    moved = {name for name, each in module.named_parameters() if each.requires_grad}
    assert {*kept["state_dict"]} == moved


def test_lower_states_are_read_from_disk_and_damaged_ones_refused(folders, tmp_path, capsys):
    data = texts_of(folders)
    first = Layers(data.encoder, data.examples.texts, layers=1).texts
    (path,) = (tmp_path / "cache" / "states").iterdir()
    again = Layers(data.encoder, data.examples.texts, layers=1).texts
    assert torch.equal(first.contents, again.contents)
    assert first.contents.dtype == torch.float32
    assert not capsys.readouterr().err
    content = bytearray(path.read_bytes())
    for damaged in (content[:-7], content[:-7] + b"damaged"):
        path.write_bytes(damaged)
        mended = Layers(data.encoder, data.examples.texts, layers=1).texts
        assert torch.equal(first.contents, mended.contents)
        assert "are damaged, and are computed anew" in capsys.readouterr().err


def slightly(cut, states, mask, whole=Cut.__call__):
    """A cut model that is wrong of the longest text alone, and there a little in each component."""
    found = whole(cut, states, mask)
    return found + 0.1 * (mask.sum(1, keepdim=True) > 15)[..., None] * found.roll(1, 2)


def test_layers_that_are_not_there_are_refused_and_models_that_cannot_be_cut_run_whole(
    folders, monkeypatch, capsys
):
    encoder = texts_of(folders).encoder
    texts = [*TEXTS[:20], "song " * 20]
    with pytest.raises(
        RecipeError, match="3 upper layers are to be tuned in BertModel, which has 2"
    ):
        Layers(encoder, texts, layers=3)
    expected = encoder.encode(texts)
    assert Layers(encoder, texts, layers=1).cut is not None
    monkeypatch.setattr(Cut, "__call__", slightly)
    whole = Layers(encoder, texts, layers=1).eval()
    assert "The layers of BertModel do not run by themselves" in capsys.readouterr().err
    assert whole.cut is None
    torch.testing.assert_close(whole(torch.arange(1, len(texts) + 1)), expected)
    learned = [name for name, each in whole.transformer.named_parameters() if each.requires_grad]
    assert all(UPPER in name for name in learned)


SIZES = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 6}
SIZES |= {"intermediate_size": 24, "vocab_size": 9}
WINDOW = {"num_key_value_heads": 1, "sliding_window": 4}
MIXED = {"use_sliding_window": True, "max_window_layers": 4, **WINDOW}
PATTERN = {"sliding_window_pattern": 3, "head_dim": 8, **WINDOW}
MODERN = {"local_attention": 4, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Llama", {}),
        ("Qwen2", MIXED),
        ("Gemma3Text", {"use_bidirectional_attention": True, **PATTERN}),
        ("ModernBert", MODERN),
        ("DistilBert", {"dim": 16, "n_heads": 2, "hidden_dim": 24}),
    ],
)
def test_layers_of_any_kind_give_what_the_whole_model_gives(kind, settings):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SIZES | settings)
    model = transformers.AutoModel.from_config(config).eval()
    for weights in model.parameters():
        if weights.ndim > 1:  # as they are, little depends on attention
            torch.nn.init.normal_(weights, std=0.4)
    # Longer than the windows of layers that have one.
    tokens, mask = torch.randint(3, 9, (2, 15)), torch.ones(2, 15, dtype=torch.long)
    mask[1, 9:] = 0
    with torch.no_grad():
        whole = model(input_ids=tokens, attention_mask=mask).last_hidden_state[mask.bool()]
        for layers in (1, 4, None):
            cut = Cut(model, layers)
            own = cut(cut.lower(tokens, mask), mask)[mask.bool()]
            torch.testing.assert_close(own, whole)
