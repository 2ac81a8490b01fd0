"""Pictures into vectors, against transformers' own models."""

from functools import partial

import numpy as np
import pytest
import torch
from lightrec_images.image import ImageEncoder
from lightrec_testing import EncoderChecks, check_all
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from lightrec.errors import DataError, FetchError

WORDS = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
WORDS |= {"intermediate_size": 16}
SHAPE = WORDS | {"image_size": 16, "patch_size": 8}
NAMES = [f"{n}.png" for n in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(draw.integers(0, 255, (20, 30, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return saved(tmp_path_factory, ViTModel(ViTConfig(**SHAPE)))


def saved(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("vision")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.data.normal_(std=0.3)
    model.save_pretrained(folder)
    size = {"height": 16, "width": 16}
    ViTImageProcessor(size=size).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))


def units(vectors):
    return torch.nn.functional.normalize(vectors.detach(), dim=1)


def test_the_pooled_output_is_the_vector(vit, folder):
    encoder = ImageEncoder(str(vit), str(folder), batch_size=2, device="cpu")
    vectors = encoder.encode([*NAMES, NAMES[0]])
    # Resized and scaled to -1 … 1, as the processor's defaults say; an independent computation.
    pictures = [Image.open(folder / n).resize((16, 16), Image.Resampling.BILINEAR) for n in NAMES]
    table = torch.tensor(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2)
    expected = ViTModel.from_pretrained(vit)(table / 127.5 - 1).pooler_output
    torch.testing.assert_close(vectors[:5], units(expected), atol=1e-4, rtol=0)
    assert torch.equal(vectors[5], vectors[0])
    assert encoder.size == 12


def test_a_model_of_pictures_and_texts_gives_its_picture_features(tmp_path_factory, folder):
    words = WORDS | {"vocab_size": 30, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(vision_config=SHAPE, text_config=words, projection_dim=10)
    clip = saved(tmp_path_factory, CLIPModel(config))
    size = {"shortest_edge": 16}
    processor = CLIPImageProcessor(size=size, crop_size=16, do_normalize=False)
    processor.save_pretrained(clip)
    encoder = ImageEncoder(str(clip), str(folder), device="cpu")
    images = processor(images=[Image.open(folder / n) for n in NAMES], return_tensors="pt")
    model = CLIPModel.from_pretrained(clip)
    expected = model.visual_projection(model.vision_model(**images).pooler_output)
    torch.testing.assert_close(encoder.encode(NAMES), units(expected), atol=1e-4, rtol=0)
    assert encoder.size == 10


def test_vectors_are_kept_by_content_and_not_by_path(vit, folder, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes((folder / "0.png").read_bytes())
    first = ImageEncoder(str(vit), str(folder), device="cpu").encode(NAMES)
    again = ImageEncoder(str(vit), str(tmp_path), device="cpu")
    assert torch.equal(again.encode(["a.png"])[0], first[0])
    assert "_loaded" not in vars(again)  # nothing was computed
    (tmp_path / "a.png").write_bytes((folder / "1.png").read_bytes())
    assert torch.equal(again.encode(["a.png"])[0], first[1])


def test_what_is_no_picture_is_named(vit, folder, tmp_path):
    encoder = ImageEncoder(str(vit), str(tmp_path), device="cpu")
    with pytest.raises(DataError, match=r"1 of 1 pictures are not there, such as .*none\.png"):
        encoder.encode(["none.png"])
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(DataError, match=r"words\.png: It cannot be read as a picture"):
        encoder.encode(["words.png"])


def test_weights_are_not_drawn_at_random(vit, folder, tmp_path):
    for path in vit.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = ViTModel(ViTConfig(**SHAPE | {"num_hidden_layers": 2}))
    model.config.save_pretrained(tmp_path)
    with pytest.raises(FetchError, match="which would be drawn at random"):
        ImageEncoder(str(tmp_path), str(folder), device="cpu").encode(NAMES)


@pytest.mark.slow
def test_pictures_keep_the_contract_of_encoders(vit, folder):
    make = partial(ImageEncoder, str(vit), str(folder), cache=False, device="cpu")
    check_all(EncoderChecks(make, values=NAMES))
