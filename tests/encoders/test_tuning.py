"""The stage `text`: a map of vectors is learned from who chooses what, and leaves a model."""

import itertools
import json
import math
import os
import socket

import lightning.pytorch as pl
import numpy as np
import polars
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import load_file, save_file

from lightrec.data.catalog import Catalog
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.encoders import text, tuning, tuning_data, worth
from lightrec.encoders.hub import TUNED
from lightrec.encoders.layers import Cut, Layers
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuning import TextModule
from lightrec.encoders.tuning_data import Nearby, TextData
from lightrec.encoders.words import WordEncoder
from lightrec.errors import FetchError, RecipeError
from lightrec.intervals import Interval
from lightrec.ranking.sequence_data import SequenceData
from lightrec.stages.train import EpochSeed
from lightrec.testing.tiny import tiny_text_model
from tests.processes import apart
from tests.ranking.training import trainer

TOPICS = ("red", "lamp", "tea", "rope")
OTHERS = list(itertools.product(("a", "of", "and", "song"), repeat=3))
TEXTS = [" ".join((TOPICS[n % 4], *OTHERS[n // 4 * 2 + n % 2])) for n in range(128)]
"""What goes together is those with the same first word; the other three say nothing."""
USERS, STEPS = 480, 8


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
    patch.setattr(tuning_data, "MIN_EVENTS", 40)
    patch.setattr(tuning, "RECALLED", 3)  # of twelve
    # Who chose what says all here, so that no text is ever taken, see below.
    patch.setattr(tuning, "compared", lambda *_: ({}, Interval(0.2, 0.1, 0.3)))
    patch.setenv("LIGHTREC_CACHE", str(folder / "cache"))


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    patched(monkeypatch, tmp_path)


def texts_of(folders, **settings):
    data, model = folders
    settings = {"text_encoder": TextEncoder(str(model), device="cpu"), "batch_size": 64} | settings
    return TextData(str(data), **settings)


def fitted(
    folders, folder, data=None, epochs=2, checkpoint=None, seed=0, callbacks=(), given=None, **how
):
    data = data or texts_of(folders)
    torch.manual_seed(seed)
    given = {"learning_rate": 0.03, "temperature": 0.3} | (given or {})
    module = TextModule(data.num_items, data.vector_size, **given)
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
    # One in three users chooses, and the others judge.
    thirds = [own.users % 3 == 0 for own in examples.asked]
    assert thirds[0].all()
    assert not thirds[1].any()
    assert min(map(len, thirds)) > 0.9 * USERS / 3


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
    assert metrics["text/tuned/recall@10"] > metrics["text/frozen/recall@10"] + 0.08
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (folders[1] / weights).read_bytes()

    (folder / "stage.json").write_text("{}")
    again = TextEncoder(str(folder), device="cpu")
    assert again.fingerprint == data.text_encoder.fingerprint
    known, new = again.encode(data.examples.texts), again.encode(["rope and rope", "lamp"])
    assert again.transformer is not None  # for the new texts alone
    torch.testing.assert_close(known, module.vectors()[1:], atol=1e-5, rtol=0)
    ranker = SequenceData(str(folders[0]), data.text_encoder, text=str(folder))
    with pytest.raises(RecipeError, match="and the ranker is to read by WordEncoder"):
        SequenceData(str(folders[0]), WordEncoder(), text=str(folder))
    with pytest.raises(RecipeError, match=r"has no tuned\.json"):
        text.tuned(WordEncoder(), str(tmp_path))
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


def test_what_ranks_no_better_beside_who_chose_what_is_not_taken(
    folders, learned, tmp_path, monkeypatch
):
    module, data, *_ = learned
    monkeypatch.setattr(tuning, "compared", worth.compared)
    metrics = written(module, folder := tmp_path / "text")
    assert metrics["text/tuned/recall@10"] > metrics["text/frozen/recall@10"] + 0.08
    assert metrics["text/tuned-minus-frozen/ndcg@10/low"] <= 0
    assert metrics["text/tuned/ndcg@10"] > 0.1
    assert "not rank clearly better" in json.loads((folder / TUNED).read_text())["left as it is"]
    ranker = SequenceData(str(folders[0]), data.text_encoder, text=str(folder))
    assert ranker.text_encoder is data.text_encoder


@pytest.mark.parametrize(
    ("settings", "least", "reason"),
    [
        ({"text_encoder": WordEncoder()}, 50, "There is WordEncoder"),
        ({}, 300, "There are 113 items with a text of their own"),
        ({"max_events": 39}, 50, "Items held out have 39 events"),
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


@pytest.mark.parametrize("tune", ["map", "layers"])
def test_a_resumed_training_ends_where_an_unbroken_one_does(folders, tmp_path, tune):
    how = {"given": {**LAYERS, "tune": tune}, "epochs": 4}
    seeds = EpochSeed(0)
    whole, _ = fitted(folders, tmp_path, callbacks=[seeds], **how)

    half = tmp_path / "half.ckpt"
    fitted(folders, tmp_path, callbacks=[seeds, Stop(half)], **how)
    rest, _ = fitted(folders, tmp_path, seed=7, checkpoint=half, callbacks=[seeds], **how)
    ended = rest.state_dict()
    assert all(torch.equal(value, ended[name]) for name, value in whole.state_dict().items())
    assert whole.part.change.any()


LAYERS = {"learning_rate": 0.003, "layers": 1}
UPPER = "encoder.layer.1."


def weights_of(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("tune", "layers"), [("layers", 1), ("layers", None), ("lora", 1), ("dora", None), ("full", 1)]
)
def test_layers_and_adapters_learn_and_all_else_stays_bit_for_bit(
    folders, tmp_path, capsys, tune, layers
):
    if "ora" in tune:
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
        ("dora", None): linear,
        ("full", 1): {name for name in before if not name.startswith("pooler.")},
    }[tune, layers]
    assert changed == expected
    # The folder is any TextEncoder's, and the states that were rounded have changed little.
    again = TextEncoder(str(folder), device="cpu").encode(data.examples.texts)
    torch.testing.assert_close(again, module.vectors()[1:], atol=0.03, rtol=0)
    assert {name.split(".")[0] for name in module.state_dict()} == {"part", "sharpness"}


def test_lower_states_are_read_from_disk_and_damaged_ones_refused(folders, tmp_path, capsys):
    data = texts_of(folders)
    first = Layers(data.encoder, data.examples.texts, layers=1).texts
    (path,) = (tmp_path / "cache" / "states").iterdir()
    again = Layers(data.encoder, data.examples.texts, layers=1).texts
    assert torch.equal(first.given, again.given)
    assert first.given.dtype == torch.bfloat16
    assert not capsys.readouterr().err
    content = bytearray(path.read_bytes())
    for damaged in (content[:-7], content[:-7] + b"damaged"):
        path.write_bytes(damaged)
        mended = Layers(data.encoder, data.examples.texts, layers=1).texts
        assert torch.equal(first.given, mended.given)
        assert "are damaged, and are computed anew" in capsys.readouterr().err


def slightly(cut, states, mask, whole=Cut.__call__):
    """A cut model that is wrong of the longest text alone, and there a little in each component."""
    found = whole(cut, states, mask)
    return found + 0.1 * (mask.sum(1, keepdim=True) > 15)[..., None] * found.roll(1, 2)


def test_layers_that_are_not_there_and_models_that_cannot_be_cut_are_refused(folders, monkeypatch):
    encoder = texts_of(folders).encoder
    texts = [*TEXTS[:20], "song " * 20]
    with pytest.raises(
        RecipeError, match="3 upper layers are to be tuned in BertModel, which has 2"
    ):
        Layers(encoder, texts, layers=3)
    Layers(encoder, texts, layers=1)
    monkeypatch.setattr(Cut, "__call__", slightly)
    with pytest.raises(RecipeError, match=r"BertModel\) cannot be run by themselves"):
        Layers(encoder, texts, layers=1)


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


def test_a_model_whose_layers_hand_on_more_than_states_is_not_cut():
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 3, "num_heads": 2}
    cut = Cut(T5EncoderModel(T5Config(vocab_size=9, **sizes)).eval(), 2)
    mask = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(TypeError, match="hands more than states"):
        cut(cut.lower(mask, mask), mask)


class Stop(pl.Callback):
    """Keeps a checkpoint after two epochs."""

    def __init__(self, path):
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)


def trained_as(rank, world, port, data, model, folder, given, precision):
    """Train by one of several processes, and give what is learned."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ |= {"NODE_RANK": "0", "WORLD_SIZE": str(world)}
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, folder)
        ddp = DDPStrategy(process_group_backend="gloo")
        how = {"strategy": ddp, "devices": world, "use_distributed_sampler": False}
        module, _ = fitted((data, model), folder, epochs=2, given=given, precision=precision, **how)
    weights = {name: value.float().numpy() for name, value in module.state_dict().items()}
    return weights, float(module.trainer.callback_metrics["train/loss"])


@pytest.mark.parametrize(("tune", "precision"), [("map", "32-true"), ("layers", "bf16-mixed")])
def test_two_processes_learn_what_one_does(folders, tmp_path, tune, precision):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**LAYERS, "tune": tune, "learning_rate": 0.03 if tune == "map" else 0.003}
    how = (2, port, *folders, tmp_path, given, precision)
    (first, loss), (second, _) = apart(trained_as, *((rank, *how) for rank in range(2)))
    alone, _ = fitted(folders, tmp_path, epochs=2, given=given, precision=precision)
    assert loss == pytest.approx(float(alone.trainer.callback_metrics["train/loss"]), rel=0.02)
    for name, value in alone.state_dict().items():
        np.testing.assert_array_equal(first[name], second[name])
        if tune == "map":  # layers drop out others in each process
            np.testing.assert_allclose(first[name], value, atol=1e-4)
    assert abs(first["part.change"]).max() > 0.001


def test_a_teacher_says_what_goes_with_what(folders, tmp_path):
    # Items whose vectors are alike are those of one topic; their events say the same.
    (teacher := tmp_path / "ranker").mkdir()
    vectors = torch.nn.functional.one_hot(torch.arange(len(TEXTS)) % 4, 4).float()
    vectors = torch.cat([torch.zeros(1, 4), vectors]) + 0.01
    save_file({"vectors": vectors}, teacher / "items.safetensors")
    data = texts_of(folders, teacher=str(teacher))
    targets = data.examples.targets.toarray()
    topic = (data.examples.trained - 1) % 4
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)
    same = topic[:, None] == topic
    assert (targets[same].sum() / targets.sum()) > 0.99
    assert not targets.diagonal().any()
    save_file({"vectors": vectors[:9]}, teacher / "items.safetensors")
    with pytest.raises(RecipeError, match="has vectors of 8 items, and the log has 128"):
        texts_of(folders, teacher=str(teacher)).examples  # noqa: B018


def test_a_text_is_nearest_to_itself_read_again(folders, tmp_path):
    given = {**LAYERS, "tune": "layers", "simcse": 0.5}
    module, data = fitted(folders, tmp_path, epochs=1, given=given)
    batch = Nearby(data.examples)[np.arange(8)]
    module.eval()  # nothing drops out: a text is as near to itself as can be
    module.settings.simcse = 0.0
    alone = module.loss(batch)
    own = module.part(module.trained[:8]).double()
    wanted = torch.stack(
        [(own @ own[n] / 0.05).logsumexp(0) - own[n] @ own[n] / 0.05 for n in range(8)]
    ).mean()
    module.settings.simcse = 0.5
    torch.testing.assert_close(module.loss(batch), alone + 0.5 * wanted.float())
    with pytest.raises(RecipeError, match="nothing drops out of a text"):
        TextModule(3, 12, simcse=0.1)
