"""The stage `text`: a map is learned from who chooses what, judged, and left as a model."""

import itertools
import json
import math

import numpy as np
import pytest
import scipy
import torch
from sentence_transformers import SentenceTransformer

from lightrec.encoders import tuning, tuning_data, worth
from lightrec.encoders.base import unit_vectors
from lightrec.encoders.hub import TUNED
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuned import tuned, write_model
from lightrec.encoders.tuning import TextModule
from lightrec.encoders.tuning_data import Nearby
from lightrec.encoders.words import WordEncoder
from lightrec.encoders.worth import SHARPNESS, SMOOTHING, Choices, compared, gains
from lightrec.errors import FetchError, RecipeError
from lightrec.ranking.sequence_data import SequenceData
from tests.encoders.topics import TEXTS, USERS, fitted, patched, texts_of, written
from tests.learners.training import resumed, train

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def learned(folders, tmp_path_factory):
    """A module that has learned, its data, and what it has written."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, folder)
        module, data = fitted(folders, folder, epochs=40)
        return module, data, folder / "text", written(module, folder / "text")


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
    thirds = [own.users % 3 == 0 for own in examples.validation]
    assert thirds[0].all()
    assert not thirds[1].any()
    assert min(map(len, thirds)) > 0.9 * USERS / 3


def test_the_loss_is_a_softmax_over_all_other_texts_with_popularity_as_its_prior(learned):
    module, data, *_ = learned
    examples, rows = data.examples, np.arange(7)
    with torch.no_grad():
        found = module.loss(Nearby(examples)[rows])
        mapped = data.text_vectors[1:] @ (torch.eye(12) + module.part.change).T
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
        tuned(WordEncoder(), str(tmp_path))
    assert ranker.about_texts["tuned"] == "map"
    expected = module.vectors()[data.examples.numbers]
    torch.testing.assert_close(ranker.vectors, expected, atol=1e-5, rtol=0)

    other = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    theirs = torch.from_numpy(other.encode([*data.examples.texts, "rope and rope", "lamp"]))
    torch.testing.assert_close(theirs, torch.cat([known, new]), atol=1e-5, rtol=0)
    # A second map is laid over the first.
    (more := tmp_path / "more").mkdir()
    write_model(again, more, {}, torch.eye(12) * 2)
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
        ({"text_encoder": WordEncoder()}, 50, "there is WordEncoder"),
        ({}, 300, "There are 113 items with a text of their own"),
        ({"max_events": 39}, 50, "Items held out have 39 events"),
    ],
)
def test_a_log_that_says_too_little_leaves_texts_as_they_are(
    folders, tmp_path, monkeypatch, capsys, settings, least, reason
):
    monkeypatch.setattr(tuning_data, "MIN_TEXTS", least)
    given = {"tune": "layers"} if "max_events" in settings else {}
    module, _ = fitted(folders, tmp_path, texts_of(folders, **settings), given=given)
    assert written(module, tmp_path / "text") == {}
    assert reason in json.loads((tmp_path / "text" / TUNED).read_text())["left as it is"]
    with pytest.raises(FetchError, match=f"holds no model, .*{reason}"):
        TextEncoder(str(tmp_path / "text")).encode(["tea"])
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "2_Dense/model.safetensors"])
def test_a_damaged_folder_is_refused_in_a_sentence(folders, tmp_path, name):
    (folder := tmp_path / "text").mkdir()
    write_model(TextEncoder(str(folders[1])), folder, {}, torch.eye(12))
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(FetchError, match=r"cannot be loaded: .* damaged or missing"):
        TextEncoder(str(folder), device="cpu").encode(["tea"])
    (folder / "modules.json").write_text("[{")
    with pytest.raises(FetchError, match=r"modules\.json is no JSON"):
        TextEncoder(str(folder), device="cpu").encode(["tea"])


def test_a_resumed_training_ends_where_an_unbroken_one_does(folders, tmp_path):
    def fit(*how):
        data = texts_of(folders)
        return train(TextModule(data.num_items, data.vector_size), data, *how)

    whole, _ = resumed(fit, tmp_path)
    assert whole.part.change.any()


ASKED, ASKING = 30, 600
TOPIC = np.arange(ASKED) % 3


def asked(seed, users):
    """Events whose text has the topic of the two texts before it."""
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(n % 3 == TOPIC))[:3] for n in range(ASKING)]
    rows = np.array(rows) + 1
    padding = np.zeros((ASKING, 1), np.int64)
    return Choices(np.hstack([padding, rows[:, :2]]), rows[:, 2], users)


def vectors_of(noise):
    generator = torch.Generator().manual_seed(0)
    found = torch.nn.functional.one_hot(torch.as_tensor(TOPIC), 3).float()
    found = found + noise * torch.randn(found.shape, generator=generator)
    return torch.nn.functional.pad(found, (0, 0, 1, 0))


def test_gains_are_those_of_a_ranking_by_shares_and_cosines():
    generator = np.random.default_rng(1)
    follows = scipy.sparse.random_array((ASKED + 1, ASKED + 1), density=0.2, rng=generator).tolil()
    follows[0] = 0
    events = asked(0, np.arange(ASKING))
    vectors = vectors_of(0.5)
    found = gains(events, follows.tocsr(), vectors, 0.8)
    units, dense = unit_vectors(vectors).numpy(), follows.toarray()
    for row in range(20):
        first, last = events.histories[row, 1:]
        known = 0.8 * dense[first] + dense[last]
        known = known / max(known.sum(), 1e-12) + SMOOTHING / (ASKED + 1)
        mean = 0.8 * units[first] + units[last]
        for place, weight in enumerate(SHARPNESS):
            scores = np.log(known) + weight * units @ mean / np.linalg.norm(mean)
            own = scores[events.chosen[row]]
            others = np.delete(scores, [0, first, last, events.chosen[row]])
            above, equal = (others > own + 1e-6).sum(), (abs(others - own) <= 1e-6).sum()
            rank = 1 + above + equal / 2
            expected = 1 / math.log2(1 + rank) if rank <= 10 else 0
            assert found[place, row].item() == pytest.approx(expected, abs=1e-6)


def test_an_interval_draws_users_and_says_nothing_where_choices_say_all():
    every = [np.arange(ASKING), np.arange(ASKING) + ASKING]
    given = {"frozen": vectors_of(2.0), "tuned": vectors_of(0.1)}
    nothing = scipy.sparse.csr_array((ASKED + 1, ASKED + 1))
    events = asked(0, every[0]), asked(1, every[1])
    means, gain = compared(events, nothing, given, 0.8)
    assert gain.low > 0.05
    assert gain.mean == pytest.approx(means["tuned"] - means["frozen"])
    # The same events of five users.
    few = asked(0, every[0]), asked(1, every[1] // 3 % 5)
    assert compared(few, nothing, given, 0.8)[1].mean == pytest.approx(gain.mean)
    one = asked(0, every[0]), asked(1, every[1] * 0)
    assert compared(one, nothing, given, 0.8)[1].low == -math.inf
    # Where what followed tells the topic exactly, texts have nothing to add.
    same = np.pad(TOPIC[:, None] == TOPIC, ((1, 0), (1, 0))).astype(np.float64)
    _, none = compared(events, scipy.sparse.csr_array(same), given, 0.8)
    assert none.low <= 0 < none.mean + 0.05
