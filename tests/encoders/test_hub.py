"""Model folders as sentence-transformers and the E5 models have them, against plain sums."""

import json
import shutil

import pytest
import torch

from lightrec.encoders import hub as module
from lightrec.encoders.hub import MULTILINGUAL, Card, advice, read_card
from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuned import write_model
from lightrec.errors import RecipeError

TEXTS = ["a red lamp", "tea", "a song of tea and rope of red tea", ""]
E5 = '# Each input text should start with "query: " or "passage: ", even for non-English texts.'


@pytest.fixture
def make(folders, tmp_path):
    """Give a function that adds files to a copy of the model."""

    def made(pool=None, modules=("Transformer", "Pooling", "Normalize"), card="", **files):
        folder = tmp_path / "model"
        shutil.copytree(folders[1], folder)
        if pool is not None:
            paths = {"Pooling": "1_Pooling", "Dense": "2_Dense"}
            listed = [
                {"type": f"sentence_transformers.models.{n}", "path": paths.get(n, "")}
                for n in modules
            ]
            files["modules"] = listed
            (folder / "1_Pooling").mkdir()
            pool = {"word_embedding_dimension": 12, **pool}
            (folder / "1_Pooling" / "config.json").write_text(json.dumps(pool))
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        if card:
            (folder / "README.md").write_text(card, encoding="utf-8")
        return folder

    return made


def pooled(encoder, texts, how):
    """What texts' token states come to, one text after the other, without those of the padding."""
    tokens = encoder.tokenize(texts)
    with torch.no_grad():
        states = encoder.load_weights()(**tokens).last_hidden_state
    found = []
    for own, mask in zip(states, tokens["attention_mask"].bool(), strict=True):
        own = own[mask]
        vector = {"mean": own.mean(0), "cls": own[0], "last": own[-1]}[how]
        found.append(vector / vector.norm())
    return torch.stack(found)


@pytest.mark.parametrize(
    ("pool", "how"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "last"),
        ({"pooling_mode": "lasttoken", "include_prompt": True}, "last"),
        (None, "mean"),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_prompt_and_length_are_the_models_own(make, pool, how, side):
    folder = make(
        pool,
        sentence_bert_config={"max_seq_length": 9, "do_lower_case": False},
        config_sentence_transformers={"prompts": {"query": "song: ", "document": "of: "}},
    )
    own = TextEncoder(str(folder), device="cpu", cache=False)
    own.tokenizer.padding_side = side
    assert torch.allclose(own.encode(TEXTS), pooled(own, TEXTS, how), atol=1e-5)
    tokens = own.tokenize(TEXTS)["input_ids"]
    assert tokens.shape == (4, 9)
    assert "[CLS] of [UNK] tea [SEP]" in own.tokenizer.decode(tokens[1])
    assert own.about == {
        "class": "TextEncoder",
        "model": str(folder),
        "languages": (),
        "prompt": "of: ",
        "pooling": how,
        "max_length": 9,
    }
    (saved := folder / "saved").mkdir()
    write_model(own, saved, {})
    again = TextEncoder(str(saved), device="cpu", cache=False)
    assert again.about == {**own.about, "model": str(saved)}
    torch.testing.assert_close(again.encode(TEXTS), own.encode(TEXTS))
    # Whoever lays other layers over the same weights reads the same states from disk.
    (saved / "seconds.json").write_text("{}")
    assert TextEncoder(str(saved)).fingerprint == TextEncoder(str(folder)).fingerprint
    other = TextEncoder(str(folder), device="cpu", cache=False, pooling="cls", prompt="")
    assert torch.allclose(other.encode(TEXTS), pooled(other, TEXTS, "cls"), atol=1e-5)
    assert "[CLS] tea [SEP]" in other.tokenizer.decode(other.tokenize(TEXTS)["input_ids"][1])
    asked = TextEncoder(str(folder), device="cpu", prompt="song: ").encode(TEXTS)
    assert torch.equal(TextEncoder(str(folder), device="cpu").encode_queries(TEXTS), asked)
    marks = {TextEncoder(str(folder), device="cpu", **s).fingerprint for s in ({}, {"prompt": ""})}
    assert len(marks) == 2


def test_e5_says_its_prefix_in_its_card_alone(make):
    front = "---\nlanguage:\n- multilingual\n- de\n- no\nlicense: mit\n---\n"
    folder = make({"pooling_mode_mean_tokens": True}, card=front + E5)
    found = read_card(folder)
    assert found.prompt == "query: "
    assert found.languages == ("multilingual", "de", "no")
    assert found.reads("zh")
    assert not Card().reads("en")
    assert Card(languages=("zh-CN", "English")).reads("en")
    assert not Card(languages=("en",)).reads("de")


def test_a_prompt_may_be_left_out_of_the_mean(make):
    folder = make(
        {"pooling_mode_mean_tokens": True, "include_prompt": False},
        config_sentence_transformers={"prompts": {"document": "red lamp: "}},
    )
    own = TextEncoder(str(folder), device="cpu", cache=False)
    with torch.no_grad():
        states = own.load_weights()(own.tokenize(["tea"])["input_ids"]).last_hidden_state
    mean = states[0, 4:].mean(0)  # after [CLS], red, lamp and what is no word
    assert torch.allclose(own.encode(["tea"])[0], mean / mean.norm(), atol=1e-5)
    left_out = TextEncoder(str(folder), device="cpu").fingerprint
    said = {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    assert TextEncoder(str(folder), device="cpu").fingerprint != left_out
    part = Layers(own, ["tea", "a red lamp"], "layers", 1).eval()
    assert torch.allclose(part(torch.tensor([1]))[0], mean / mean.norm(), atol=1e-5)


@pytest.mark.parametrize(
    ("pool", "modules", "named"),
    [
        ({}, ("Transformer", "Pooling", "CNN"), "CNN"),
        ({}, ("Transformer", "Dense"), "Transformer, Dense"),
    ],
)
def test_a_model_of_other_steps_is_refused(make, pool, modules, named):
    folder = make(pool, modules=modules)
    with pytest.raises(RecipeError, match=f"vectors by {named}, which lightrec does not do"):
        TextEncoder(str(folder), device="cpu", cache=False).encode(["tea"])


GERMAN = {"de": 0.93, "en": 0.07}


def test_a_warning_says_what_was_found_and_what_to_do(make, monkeypatch):
    folder = make(card="---\nlanguage: en\n---\n")
    monkeypatch.setattr(module, "model_folder", lambda model: folder)
    sentence = advice(GERMAN, ["rote Lampe", "a red lamp"], "TextEncoder")
    assert "in German (93 %) and English (7 %)" in sentence
    assert f"`--values.text_encoder.model {MULTILINGUAL}`" in sentence
    assert advice({"en": 0.9, "fr": 0.1}, ["a red lamp"], "TextEncoder") == ""
    assert advice(GERMAN, ["rote Lampe"], "WordEncoder") == ""
