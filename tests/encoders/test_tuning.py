"""The stage `text`: a map of vectors is learned from who chooses what, and leaves a model."""

import itertools
import json
import math

import lightning.pytorch as pl
import numpy as np
import polars
import pytest
import torch

from lightrec.data.catalog import Catalog
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.encoders import text, tuning, tuning_data
from lightrec.encoders.text import TUNED, TextEncoder
from lightrec.encoders.tuning import TextModule
from lightrec.encoders.tuning_data import Nearby, TextData
from lightrec.encoders.words import WordEncoder
from lightrec.errors import FetchError, RecipeError
from lightrec.ranking.sequence_data import SequenceData
from lightrec.testing.tiny import tiny_text_model
from tests.ranking.training import trainer

TOPICS = ("red", "lamp", "tea", "rope")
OTHERS = list(itertools.product(("a", "of", "and", "song"), repeat=3))
TEXTS = [" ".join((TOPICS[n % 4], *OTHERS[n // 4 * 2 + n % 2])) for n in range(128)]
"""What goes together is those with the same first word; the other three say nothing."""
USERS, STEPS = 240, 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A log in which users keep to texts of one topic, and a text model of random weights."""
    generator = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{4 * item + user % 4}")
        for user in range(USERS)
        for item in generator.permutation(len(TEXTS) // 4)[:STEPS]
    ]
    # The last two items have the text of the first two, and one item has none.
    items = polars.DataFrame(
        {"item": [f"i{n}" for n in range(len(TEXTS))], "text": [*TEXTS[:-3], *TEXTS[:2], None]}
    )
    log = polars.DataFrame(rows, ["user", "item"], orient="row")
    folder = tmp_path_factory.mktemp("tuning")
    prepare(
        InteractionLog(log),
        folder / "data",
        catalog=Catalog(items.with_columns(title=polars.lit(None, polars.String))),
        domain=Domain(),
        k_core=0,
        seed=0,
    )
    (folder / "model").mkdir()
    return folder / "data", tiny_text_model(folder / "model")


def patched(patch, folder):
    patch.setattr(tuning_data, "MIN_TEXTS", 50)
    patch.setattr(tuning, "RECALLED", 3)  # of twelve
    patch.setenv("LIGHTREC_CACHE", str(folder / "cache"))


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    patched(monkeypatch, tmp_path)


def texts_of(folders, **settings):
    data, model = folders
    settings = {"text_encoder": TextEncoder(str(model), device="cpu"), "batch_size": 64} | settings
    return TextData(str(data), **settings)


def fitted(folders, folder, data=None, epochs=2, checkpoint=None, seed=0, callbacks=(), **how):
    data = data or texts_of(folders)
    torch.manual_seed(seed)
    module = TextModule(data.num_items, data.vector_size, learning_rate=0.03, temperature=0.3)
    training = trainer(epochs, folder, callbacks=[*callbacks], **how)
    training.fit(module, data, ckpt_path=checkpoint)
    return module, data


@pytest.fixture(scope="module")
def learned(folders, tmp_path_factory):
    """A module that has learned, its data, and what it has written."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, folder)
        module, data = fitted(folders, folder, epochs=40)
        return module, data, folder / "text", written(module, folder / "text")


def written(module, folder):
    folder.mkdir()
    return module.write(folder)


def test_targets_are_shares_of_what_is_near_and_held_out_texts_are_in_none(folders):
    data = texts_of(folders)
    examples, log = data.examples, data.histories.training()
    assert examples.texts[:2] == TEXTS[:2]
    assert examples.numbers[[1, 126, 128]].tolist() == [1, 1, 0]
    assert len(examples.held_out) == round(0.1 * len(TEXTS[:-3]))
    assert not {*examples.held_out} & {*examples.trained}
    assert {*examples.held_out, *examples.trained} == {*range(1, len(TEXTS) - 2)}
    counts = np.zeros((len(TEXTS), len(TEXTS)))
    for begin, end in itertools.pairwise(log.offsets):
        for one, other in itertools.combinations(range(begin, end), 2):
            pair = examples.numbers[log.items[[one, other]]]
            if pair[0] != pair[1]:
                counts[tuple(pair)] += 0.8 ** (other - one - 1)
    counts = (counts + counts.T)[np.ix_(examples.trained, examples.trained)]
    dense = examples.targets.toarray()
    np.testing.assert_allclose(dense, counts / counts.sum(axis=1, keepdims=True), atol=1e-6)
    batch = Nearby(examples)[np.array([3, 5])]
    rebuilt = np.zeros((2, dense.shape[1]))
    rebuilt[batch["entry"], batch["near"]] = batch["share"]
    np.testing.assert_allclose(rebuilt, dense[[3, 5]], atol=1e-6)
    # A held-out text is asked for by what stood before it, and does not stand there itself.
    asked = examples.held_out[examples.chosen]
    assert (examples.histories != asked[:, None]).all()
    assert np.isin(examples.histories, examples.held_out).any()


def test_the_loss_is_a_softmax_over_all_other_texts_with_popularity_as_its_prior(learned):
    module, data, *_ = learned
    examples, rows = data.examples, np.arange(7)
    with torch.no_grad():
        found = module.loss(Nearby(examples)[rows])
        mapped = data.given[1:] @ (torch.eye(12) + module.part.change).T
        own = torch.nn.functional.normalize(mapped, dim=1)[examples.trained - 1].double()
    own = torch.nn.functional.normalize(own - own.mean(0), dim=1).numpy()
    logits = own @ own.T * math.exp(module.sharpness) + np.log(examples.shares)
    np.fill_diagonal(logits, -np.inf)
    likely = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.fill_diagonal(likely, 0)
    expected = -(examples.targets.toarray() * likely)[rows].sum() / len(rows)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_map_finds_items_it_never_saw_and_leaves_a_model_for_any_stage(
    folders, learned, tmp_path
):
    module, data, folder, metrics = learned
    assert metrics["text/mapped/recall@10"] > metrics["text/frozen/recall@10"] + 0.08
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (folders[1] / weights).read_bytes()

    (folder / "stage.json").write_text("{}")
    again = TextEncoder(str(folder), device="cpu")
    assert again.fingerprint == data.text_encoder.fingerprint
    known, new = again.encode(data.examples.texts), again.encode(["rope and rope", "lamp"])
    assert again.transformer is not None  # for the new texts alone
    torch.testing.assert_close(known, module.vectors()[1:], atol=1e-5, rtol=0)
    ranker = SequenceData(str(folders[0]), data.text_encoder, text=str(folder))
    assert ranker.about_texts["tuned"] == "map"
    torch.testing.assert_close(ranker.vectors, module.item_vectors(), atol=1e-5, rtol=0)

    library = pytest.importorskip("sentence_transformers")
    other = library.SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"dtype": torch.float32}
    )
    theirs = torch.from_numpy(other.encode([*data.examples.texts, "rope and rope", "lamp"]))
    torch.testing.assert_close(theirs, torch.cat([known, new]), atol=1e-5, rtol=0)
    # A second map is laid over the first.
    (more := tmp_path / "more").mkdir()
    again.save(more, {}, torch.eye(12) * 2)
    torch.testing.assert_close(TextEncoder(str(more), device="cpu").encode(["lamp"]), new[1:])


def test_what_does_not_help_is_not_taken(folders, tmp_path):
    module, data = fitted(folders, tmp_path, epochs=0)
    metrics = written(module, folder := tmp_path / "text")
    assert metrics["text/mapped/recall@10"] == metrics["text/frozen/recall@10"]
    assert "not found better" in json.loads((folder / TUNED).read_text())["left as it is"]
    ranker = SequenceData(str(folders[0]), data.text_encoder, text=str(folder))
    assert ranker.text_encoder is data.text_encoder


@pytest.mark.parametrize(
    ("settings", "least", "reason"),
    [
        ({"text_encoder": None}, 50, "There is no text encoder"),
        ({"text_encoder": WordEncoder()}, 50, "There is WordEncoder"),
        ({}, 300, "There are 113 items with a text of their own"),
        ({"max_events": 99}, 50, "Items held out have 99 events"),
    ],
)
def test_a_log_that_says_too_little_leaves_texts_as_they_are(
    folders, tmp_path, monkeypatch, capsys, settings, least, reason
):
    monkeypatch.setattr(tuning_data, "MIN_TEXTS", least)
    module, _ = fitted(folders, tmp_path, texts_of(folders, **settings))
    assert written(module, tmp_path / "text") == {}
    assert reason in json.loads((tmp_path / "text" / TUNED).read_text())["left as it is"]
    assert reason in capsys.readouterr().err


def test_another_encoder_than_the_one_that_was_tuned_is_refused(folders, learned, tmp_path):
    folder = learned[2]
    with pytest.raises(RecipeError, match="and the ranker is to read by WordEncoder"):
        SequenceData(str(folders[0]), WordEncoder(), text=str(folder))
    assert SequenceData(str(folders[0]), None, text=str(folder)).vector_size == 0
    with pytest.raises(RecipeError, match=r"has no tuned\.json"):
        text.tuned(WordEncoder(), str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "2_Dense/model.safetensors"])
def test_a_damaged_folder_is_refused_in_a_sentence(folders, tmp_path, name):
    (folder := tmp_path / "text").mkdir()
    TextEncoder(str(folders[1])).save(folder, {}, torch.eye(12))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:100])
    with pytest.raises(FetchError, match="so that its folder is damaged or not whole"):
        TextEncoder(str(folder), device="cpu").encode(["tea"])
    (folder / "modules.json").write_text("[{")
    with pytest.raises(FetchError, match=r"modules\.json is no JSON"):
        TextEncoder(str(folder), device="cpu").encode(["tea"])


def test_a_resumed_training_ends_where_an_unbroken_one_does(folders, tmp_path):
    whole, _ = fitted(folders, tmp_path, epochs=4)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    fitted(folders, tmp_path, epochs=4, callbacks=[Stop()])
    half = tmp_path / "half.ckpt"
    rest, _ = fitted(folders, tmp_path, epochs=4, seed=7, checkpoint=half)
    assert torch.equal(whole.part.change, rest.part.change)
    assert TextModule.load_from_checkpoint(half, weights_only=True).part.change.any()
