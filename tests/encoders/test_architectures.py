"""Language models of many makes: read, cut, trained for a step, saved, and read again."""

import re
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from lightrec.encoders.layers import Layers
from lightrec.encoders.text import TextEncoder
from tests.encoders.architectures import KINDS, NOT_CUT, TEXTS, write_model

pytestmark = pytest.mark.usefixtures("small")
NEAR = 0.999
"""Cosine of vectors that differ by rounding, which random weights make more of in some makes."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_read_as_sentence_transformers_reads_it(kind, tmp_path):
    own = TextEncoder(str(write_model(kind, tmp_path)), cache=False, device="cpu")
    vectors = own.encode(TEXTS)
    alone = torch.cat([own.encode([text]) for text in TEXTS])
    assert torch.cosine_similarity(vectors, alone).min() > NEAR
    assert own.encode(["tea \ud800" * 1000]).isfinite().all()  # longer than any has places for
    library = SentenceTransformer(str(tmp_path), device="cpu")
    if library.tokenizer.pad_token is None:
        library.tokenizer.pad_token = "</s>"
    some = [text for text in TEXTS if text]
    expected = library.encode(some, convert_to_tensor=True, normalize_embeddings=True)
    assert torch.cosine_similarity(own.encode(some), expected).min() > NEAR


@pytest.mark.parametrize("tune", ["layers", "lora", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_trained_for_a_step_saved_and_loaded(kind, tune, tmp_path):
    if tune == "layers" and kind in NOT_CUT:
        pytest.skip("its layers share their weights")
    (tmp_path / "model").mkdir()
    own = TextEncoder(str(write_model(kind, tmp_path / "model")), device="cpu")
    frozen, numbers = own.encode(TEXTS), torch.arange(1, len(TEXTS) + 1)
    layers = None if tune == "lora" and kind in NOT_CUT else 2
    part = Layers(own, TEXTS, tune, layers).eval()
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
    torch.testing.assert_close(again.encode(TEXTS), after, atol=1e-5, rtol=1e-5)
    if tune != "lora":
        again.load_weights()
        for name, each in again.transformer.state_dict().items():
            assert torch.equal(each, weights[name])
    library = SentenceTransformer(str(folder), device="cpu")
    expected = library.encode([text for text in TEXTS if text], convert_to_tensor=True)
    torch.testing.assert_close(expected, after[[bool(text) for text in TEXTS]], atol=1e-5, rtol=0)


def test_the_documentation_names_them():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "language-model.md"
    rows = re.findall(r"^\| ([^|]+) \| yes \|", page.read_text(), re.MULTILINE)
    named = re.sub(r"\(.*?\)", "", ", ".join(rows)).split(", ")
    plain = {re.sub(r"\W", "", name).lower() for name in named}
    assert plain == {kind.lower().removesuffix("text") for kind in KINDS}
