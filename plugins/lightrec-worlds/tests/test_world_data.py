"""Worlds as data of policies: what may be seen of items, and the policy of two towers."""

import pytest
import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.tower import TowerPolicy, fit_left_out
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDict

from lightrec.encoders.base import Encoder
from lightrec.errors import RecipeError
from lightrec.keys import Column, Key
from lightrec.learners.transitions import PACKED, unpack
from lightrec.policies.base import Policy


class Lengths(Encoder):
    """How many letters a text has, and how many words."""

    size = 2

    def encode(self, texts):
        return torch.tensor([[len(text), len(text.split())] for text in texts]).float()


def test_titles_and_texts_stand_side_by_side():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Lengths())
    items = data.make(1).catalog().rows
    assert data.vector_size == 4
    assert data.vectors.shape == (1001, 4)
    assert not data.vectors[0].any()
    title, text = items[Column.TITLE][6], items[Column.TEXT][6]
    sentences = text.replace(". ", ".\n").split("\n")
    assert len(sentences) == 3
    wanted = torch.cat([Lengths().encode([title])[0], Lengths().encode(sentences).mean(0)])
    torch.testing.assert_close(data.vectors[7], wanted)


def world_data(settings=None, **more):
    return WorldData("Greed", settings, **{"iterations": 3, "judging": 4, "behavior": {}, **more})


def test_a_log_holds_whole_sessions_and_exact_propensities():
    weights = {"greedy": 0.5, "quality": 2.0}
    rows = world_data(behavior=weights, logged_sessions=5, settings={"max_steps": 8}).log()
    following, world = rows["next"], Greed(1)
    last = following["done"].squeeze(1)
    # Each session is whole: it begins with step 0, and the next one's follows its end.
    assert int(last.sum()) == 5
    assert last[-1]
    first = torch.cat([torch.ones(1, dtype=torch.bool), last[:-1]])
    assert torch.equal(rows[Key.STEP].squeeze(1) == 0, first)
    assert (following["terminated"] != following["done"]).any()
    seen, after = rows[Key.OBSERVATION], following[Key.OBSERVATION]
    assert torch.equal(seen[1:][~last[:-1]], after[:-1][~last[:-1]])
    # The law by hand, from what policies see.
    liked, sated = seen[:, :16] @ world.direction.T, seen[:, 16:32] @ world.direction.T
    attraction = 4 * liked + 1.5 * world.bait - 2 - 3 * sated.clamp_min(0)
    logits = 0.5 * attraction + 2.0 * world.quality
    allowed = unpack(rows[PACKED], world.num_items + 1)
    law = logits.masked_fill(~allowed, -torch.inf).log_softmax(1)
    expected = law.gather(1, rows[Key.ACTION]).squeeze(1)
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], expected)
    assert Key.LATENT not in rows.keys()  # noqa: SIM118


def test_a_saved_policy_can_make_the_log(tmp_path):
    policy = TowerPolicy(1000, 18, observation_size=35).set_items(Greed(1).item_vectors)
    torch.nn.init.normal_(policy.query_network[-1].weight, std=0.1)
    policy.save_pretrained(tmp_path)
    rows = world_data(behavior=str(tmp_path), logged_sessions=3).log()
    rows[Key.MASK] = unpack(rows[PACKED], 1001)
    with torch.no_grad():
        expected = Policy.load(tmp_path).distribution(rows.to_dict()).log_prob(rows[Key.ACTION])
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], expected)


def test_who_scores_items_by_what_is_not_there_is_refused():
    with pytest.raises(RecipeError, match=r"gives 'charm' a weight, and Greed does not score"):
        world_data(behavior={"charm": 1.0}).log()
    with pytest.raises(RecipeError, match=r"Greed has no setting 'seeed'\. Did you mean 'seed'\?"):
        WorldData("Greed", {"seeed": 1}).num_items  # noqa: B018


N, D, W, F = 12, 5, 3, 2


def trained(meaning_size=0):
    torch.manual_seed(0)
    policy = TowerPolicy(N, D, F, pools=2, history_length=4, meaning_size=meaning_size)
    vectors, meanings = torch.randn(N + 1, D), torch.randn(N + 1, W)
    policy.set_items(vectors, meanings if meaning_size else None)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return policy.eval().requires_grad_(False), vectors


def state(rows=4):
    torch.manual_seed(1)
    data = {
        Key.HISTORY: torch.randint(0, N + 1, (rows, 5)),
        Key.OBSERVATION: torch.randn(rows, F),
        Key.STEP: torch.arange(rows).unsqueeze(1),
        Key.ACCEPTED_TOTAL: torch.arange(rows).unsqueeze(1) / 2,
        Key.CANDIDATES: torch.arange(1, N + 1).expand(rows, -1),
    }
    return TensorDict(data, [rows])


def test_old_items_keep_their_scores_and_their_twins_have_the_same():
    policy, vectors = trained()
    grown, now = policy.with_items(vectors[[4, 7]]), state()
    assert (grown.num_items, policy.num_items, len(policy.vectors)) == (N + 2, N, N + 2)
    assert torch.equal(grown.logits(now), policy.logits(now))
    now[Key.CANDIDATES] = torch.tensor([[4, 7, N + 1, N + 2]]).expand(4, -1)
    scores = grown.logits(now)
    torch.testing.assert_close(scores[:, 2:], scores[:, :2])


def test_a_loaded_policy_grows_likewise_and_is_saved_as_grown(tmp_path):
    policy, _ = trained(W)
    new = torch.randn(2, D)
    policy.save_pretrained(tmp_path / "old")
    grown = policy.with_items(new)
    grown.save_pretrained(tmp_path / "new")
    for loaded in (Policy.load(tmp_path / "old").with_items(new), Policy.load(tmp_path / "new")):
        assert torch.equal(loaded.logits(state()), grown.logits(state()))
    with pytest.raises(ValueError, match=r"shape \(2, 4\).*vectors of length 5"):
        policy.with_items(torch.zeros(2, 4))


def test_sums_over_histories_fade_by_half_lives():
    policy = trained()[0]
    history = torch.tensor([[0, 0, 2, 5], [0, 0, 0, N + 1]])
    sums = policy.user_vectors(history).view(2, 2, D + 1)
    ages = torch.tensor([3.0, 2, 1, 0])
    for pool, half_life in enumerate((1.0, 4.0)):
        weights = 0.5 ** (ages / half_life)
        weights /= weights.sum().sqrt()
        wanted = weights[2] * policy.vectors[2] + weights[3] * policy.vectors[5]
        torch.testing.assert_close(sums[0, pool], wanted)
        torch.testing.assert_close(sums[1, pool], weights[3] * policy.vectors[-1])


def data(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    inputs = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return inputs, inputs[:, :2] * torch.tensor([3.0, 0.0]) + noise + 5


@pytest.mark.parametrize(("rows", "columns"), [(20, 4), (8, 30)])
def test_predictions_are_those_of_fits_without_the_row(rows, columns):
    inputs, targets = data(rows, columns)
    weights, predicted = fit_left_out(inputs, targets, [0.7])
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)

    def ridge(kept):
        gram = x[kept].T @ x[kept] + 0.7 * torch.eye(columns, dtype=torch.float64)
        return torch.linalg.solve(gram, x[kept].T @ y[kept])

    torch.testing.assert_close(weights, ridge(torch.arange(rows)))
    for row in range(rows):
        kept = torch.arange(rows) != row
        torch.testing.assert_close(predicted[row], x[row] @ ridge(kept))
