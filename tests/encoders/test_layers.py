"""Upper layers, adapters or all of an encoder, of many makes: what is trained, stays, is left."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from lightrec.encoders import text
from lightrec.encoders.cut import Cut
from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError
from tests.encoders.architectures import KINDS, NOT_CUT, SENTENCES, write_model
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
        assert "are damaged, and are computed again" in capsys.readouterr().err


def slightly(cut, states, mask, whole=Cut.__call__):
    """A cut model that is wrong of the longest text alone, and there a little in each component."""
    found = whole(cut, states, mask)
    return found + 0.1 * (mask.sum(1, keepdim=True) > 15)[..., None] * found.roll(1, 2)


def test_what_a_model_has_not_is_refused_and_one_that_cannot_be_cut_runs_whole(
    folders, monkeypatch, capsys
):
    encoder = texts_of(folders).encoder
    texts = [*TEXTS[:20], "song " * 20]
    with pytest.raises(
        RecipeError, match="3 upper layers are to be tuned in BertModel, which has 2"
    ):
        Layers(encoder, texts, layers=3)
    with pytest.raises(RecipeError, match="linear layers that end in 'q_proj', and BertModel has"):
        Layers(encoder, texts, "lora", 1, {"target_modules": ["q_proj"]})
    expected = encoder.encode(texts)
    assert Layers(encoder, texts, layers=1).cut is not None
    monkeypatch.setattr(Cut, "__call__", slightly)
    whole = Layers(encoder, texts, layers=1).eval()
    assert "The layers of BertModel do not run by themselves" in capsys.readouterr().err
    assert whole.cut is None
    torch.testing.assert_close(whole(torch.arange(1, len(texts) + 1)), expected)
    learned = [name for name, each in whole.transformer.named_parameters() if each.requires_grad]
    assert all(UPPER in name for name in learned)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("tune", ["layers", "lora", "full"])
def test_half_precision_learns_nearly_the_same(folders, tmp_path, tune, precision):
    given = {**LAYERS, "tune": tune}
    exact, _ = fitted(folders, tmp_path, epochs=4, given=given)
    how = {"precision": precision, "gradient_clip_val": 1e6}
    rounded, _ = fitted(folders, tmp_path, epochs=4, given=given, **how)
    half = texts_of(folders)
    half.text_encoder = TextEncoder(str(folders[1]), device="cpu", dtype="bfloat16")
    held, _ = fitted(folders, tmp_path, half, epochs=4, given=given)
    found = [float(m.trainer.callback_metrics["train/loss"]) for m in (exact, rounded, held)]
    assert found[1:] == pytest.approx([found[0]] * 2, rel=0.03)
    assert rounded.bank.dtype == held.bank.dtype == torch.float32


def test_adapters_leave_as_peft_has_them_and_come_back(folders, tmp_path):
    peft = pytest.importorskip("peft")
    given = {**LAYERS, "tune": "lora", "rank": 4, "alpha": 6.0, "dropout": 0.1}
    module, data = fitted(folders, tmp_path, epochs=4, given={**given, "targets": ["query"]})
    written(module, folder := tmp_path / "text")
    texts, adapter = data.examples.texts[:9], folder / "adapter"
    said = json.loads((adapter / "adapter_config.json").read_text())
    assert (said["r"], said["lora_alpha"], said["lora_dropout"]) == (4, 6.0, 0.1)
    assert said["base_model_name_or_path"] == str(folders[1])
    merged = TextEncoder(str(folder), cache=False, device="cpu")
    tokens = {n: v for n, v in merged.tokenize(texts).items() if isinstance(v, torch.Tensor)}
    both = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(folders[1]).float(), adapter)
    with torch.no_grad():
        states = both.eval()(**tokens).last_hidden_state
        expected = merged.load_weights()(**tokens).last_hidden_state
        plain = TextEncoder(str(folders[1]), device="cpu").load_weights()(**tokens)
    torch.testing.assert_close(states, expected)
    assert (plain.last_hidden_state - expected).abs().max() > 1e-3
    again = TextEncoder(str(adapter), cache=False, device="cpu")
    torch.testing.assert_close(
        again.in_batches(again.pooled, texts), merged.in_batches(merged.pooled, texts)
    )
    assert TextEncoder(str(adapter)).fingerprint != TextEncoder(str(folders[1])).fingerprint


def test_an_adapter_names_the_revision_of_its_model(folders, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    asked = []
    found = lambda *named: asked.append(named) or Path(folders[1])  # noqa: E731
    monkeypatch.setattr(text, "files_of", found)
    encoder = TextEncoder("some/model", device="cpu", revision="v1.5", cache=False)
    Layers(encoder, TEXTS[:9], "lora", 1).save(encoder, tmp_path, {})
    monkeypatch.setattr(text, "files_of", lambda *named: asked.append(named) or Path(named[0]))
    _ = TextEncoder(str(tmp_path / "adapter"), device="cpu")._base
    assert asked[-1] == ("some/model", "v1.5")


@pytest.mark.parametrize("kind", ["Llama", "GPT2"])
def test_states_computed_anew_give_the_same_slopes(tmp_path, kind):
    model, slopes = write_model(kind, tmp_path), []
    for checkpointing in (False, True):
        encoder = TextEncoder(str(model), device="cpu", cache=False)
        part = Layers(encoder, TEXTS[:9], "layers", 1, checkpointing=checkpointing)
        for module in part.modules():
            module.p = 0.0  # of dropout, by which the plain attention would be taken
        part(torch.arange(1, 10)).prod(0).sum().backward()
        slopes.append([each.grad for each in part.parameters() if each.grad is not None])
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize(("kind", "bits"), [("Bert", 8), ("Llama", 4)])
def test_adapters_learn_beside_weights_of_few_bits(tmp_path, monkeypatch, kind, bits):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setitem(KINDS, kind, {"hidden_size": 64, "intermediate_size": 64})
    (tmp_path / "model").mkdir()
    model = str(write_model(kind, tmp_path / "model"))
    own = TextEncoder(model, device="cpu", quantization=bits)
    whole = TextEncoder(model, device="cpu").encode(TEXTS)
    assert torch.cosine_similarity(own.encode(TEXTS), whole).mean() > 0.7
    with pytest.raises(RecipeError, match=rf"have {bits} bits each, and only adapters"):
        Layers(own, TEXTS, "layers", 1)
    part, numbers = Layers(own, TEXTS, "lora", 1), torch.arange(1, 17)
    optimizer = torch.optim.AdamW([each for each in part.parameters() if each.requires_grad], 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (part(numbers) @ torch.linspace(0, 1, 64)).sum().backward()
        optimizer.step()
    with torch.no_grad():
        after = part.eval()(numbers)
    assert (after - own.encode(TEXTS[:16])).abs().max() > 0.01
    (folder := tmp_path / "tuned").mkdir()
    part.save(own, folder, {})
    assert (folder / "adapter_config.json").is_file()
    assert not (folder / "model.safetensors").exists()
    again = TextEncoder(str(folder), cache=False, device="cpu", quantization=bits)
    assert torch.cosine_similarity(again.encode(TEXTS[:16]), after).min() > 0.98


NEAR = 0.999
"""Cosine of vectors that differ by rounding, which random weights make more of in some makes."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_read_as_sentence_transformers_reads_it(kind, tmp_path):
    own = TextEncoder(str(write_model(kind, tmp_path)), cache=False, device="cpu")
    vectors = own.encode(SENTENCES)
    alone = torch.cat([own.encode([text]) for text in SENTENCES])
    assert torch.cosine_similarity(vectors, alone).min() > NEAR
    assert own.encode(["tea \ud800" * 1000]).isfinite().all()  # longer than any has places for
    library = SentenceTransformer(str(tmp_path), device="cpu")
    if library.tokenizer.pad_token is None:
        library.tokenizer.pad_token = "</s>"
    some = [text for text in SENTENCES if text]
    expected = library.encode(some, convert_to_tensor=True, normalize_embeddings=True)
    assert torch.cosine_similarity(own.encode(some), expected).min() > NEAR


@pytest.mark.parametrize("tune", ["layers", "lora", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_trained_for_a_step_saved_and_loaded(kind, tune, tmp_path):
    if tune == "layers" and kind in NOT_CUT:
        pytest.skip("its layers share their weights")
    (tmp_path / "model").mkdir()
    own = TextEncoder(str(write_model(kind, tmp_path / "model")), device="cpu")
    frozen, numbers = own.encode(SENTENCES), torch.arange(1, len(SENTENCES) + 1)
    layers = None if tune == "lora" and kind in NOT_CUT else 2
    part = Layers(own, SENTENCES, tune, layers).eval()
    with torch.no_grad():
        assert (1 - torch.cosine_similarity(part(numbers), frozen)).max() < 1e-5
    assert (part.cut is None) == (tune == "full" or kind in NOT_CUT)
    learned = [each for each in part.parameters() if each.requires_grad]
    before = [each.detach().clone() for each in learned]
    optimizer = torch.optim.SGD(learned, 0.1)
    for _ in range(2):  # the second matrix of an adapter begins with zeros
        optimizer.zero_grad()
        (part(numbers) @ torch.linspace(0, 1, 16)).sum().backward()
        optimizer.step()
    moved = [not torch.equal(one, other) for one, other in zip(before, learned, strict=True)]
    assert sum(moved) > 0.8 * len(moved)  # not key's biases, which the softmax cancels
    with torch.no_grad():
        after = part(numbers)
    assert (after - frozen).abs().max() > 1e-3
    (folder := tmp_path / "tuned").mkdir()
    weights = {name: each.clone() for name, each in part.transformer.state_dict().items()}
    part.save(own, folder, {})
    again = TextEncoder(str(folder), cache=False, device="cpu")
    torch.testing.assert_close(again.encode(SENTENCES), after, atol=1e-5, rtol=1e-5)
    if tune != "lora":
        again.load_weights()
        for name, each in again.transformer.state_dict().items():
            assert torch.equal(each, weights[name])
    library = SentenceTransformer(str(folder), device="cpu")
    expected = library.encode([text for text in SENTENCES if text], convert_to_tensor=True)
    torch.testing.assert_close(
        expected, after[[bool(text) for text in SENTENCES]], atol=1e-5, rtol=0
    )


def test_the_documentation_names_them():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "language-model.md"
    rows = re.findall(r"^\| ([^|]+) \| yes \|", page.read_text(), re.MULTILINE)
    named = re.sub(r"\(.*?\)", "", ", ".join(rows)).split(", ")
    plain = {re.sub(r"\W", "", name).lower() for name in named}
    assert plain == {kind.lower().removesuffix("text") for kind in KINDS}
