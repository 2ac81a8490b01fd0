"""Each check of an encoder, a tower and a reward fails for one that is wrong in just that."""

import textwrap
from zlib import crc32

import numpy as np
import pytest
import torch
from lightrec_testing import DoesNotApply, EncoderChecks, RewardChecks
from lightrec_testing.plugins import kind_of
from torch import nn
from torch.nn.functional import pad

from lightrec.api import Encoder, Key, Reward, RewardContext, UserTower

PROCESS = "another process"


class Trained(Encoder, nn.Module):
    """The mean of the words' vectors, times a matrix."""

    size = 6

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 6)
        self.out = nn.Linear(6, 6)
        self.shift = 0.0

    def one(self, text):
        ids = [crc32(word.encode()) % 50 for word in text.split()]
        return self.words(torch.tensor(ids)).mean(0) if ids else torch.zeros(6)

    def encode(self, texts):
        if not len(texts):
            return torch.zeros(0, 6)
        return self.out(torch.stack([self.one(text) for text in texts])) + self.shift


class Plain(Encoder):
    """Counts letters."""

    size = 5

    def encode(self, texts):
        rows = [[float(text.count(letter)) for letter in "aeiou"] for text in texts]
        return torch.tensor(rows).reshape(-1, 5)


class Unregistered(Trained):
    def __init__(self):
        super().__init__()
        self.shift = torch.rand(6)


class Summing(UserTower):
    """The sum of the past, through a matrix."""

    def __init__(self, size):
        super().__init__()
        self.out = nn.Linear(size, size)

    def kept(self, x, present):
        return x * present[..., None]

    def forward(self, x, present):
        vectors = self.out(self.kept(x, present).cumsum(1))
        return self.change(vectors, x, present)

    def change(self, vectors, x, present):
        return vectors


class UnusedWeight(Summing):
    def __init__(self, size):
        super().__init__(size)
        self.more = nn.Parameter(torch.zeros(3))


class Worth(Reward):
    """The accepted item's worth, times the mean worth of the history."""

    def __init__(self):
        super().__init__()
        self.worth = nn.Embedding(13, 1)

    def forward(self, transition):
        worth = self.worth(transition[Key.ACTION]).squeeze(-1) * self.taken(transition)
        return self.change(transition, worth.sum(1, True) * self.past(transition[Key.HISTORY]))

    def past(self, history):
        items = history > 0
        return (self.worth(history).squeeze(-1) * items).sum(1, True) / items.sum(1, True).clamp(1)

    def change(self, transition, rewards):
        return rewards


def seeds(self, transition, rewards):
    np.random.seed(0)
    return rewards


def shorter(self, transition, rewards):
    nothing = nn.functional.linear(rewards, torch.zeros(1, 1))
    return rewards.index_add(0, torch.arange(len(rewards)), nothing)


class PaidPrice(Reward):
    """The prices of what is accepted, less a rebate for members."""

    def bind(self, context):
        price = context.item_attribute("price").to_torch().float()
        self.register_buffer("price", pad(price, (1, 0)))
        self.register_buffer("member", context.user_attribute("member").to_torch())

    def forward(self, transition):
        paid = self.of_taken(transition, self.price[transition[Key.ACTION]])
        return paid * (1 - 0.1 * self.member[transition[Key.USER]].float()).unsqueeze(1)


def unpadded(self, context):
    """Take the numbers of items for rows, of which the last stands for padding."""
    PaidPrice.bind(self, context)
    self.price = self.price.roll(-1)


@pytest.mark.parametrize(
    ("base", "changed", "names"),
    [
        *((right, {}, set()) for right in (Trained, Plain, Summing, Worth, PaidPrice)),
        (Trained, {"size": 6.0}, {"output as declared"}),
        (
            Trained,
            {"encode": lambda s, texts: Trained.encode(s, texts) * 0},
            {"different texts", "gradients"},
        ),
        (Trained, {"one": lambda s, text: Trained.one(s, text).detach()}, {"gradients"}),
        (Unregistered, {}, {"saved"}),
        (
            Summing,
            {"change": lambda s, v, x, p: v / p[..., None]},
            {"output as declared", "devices"},
        ),
        (Summing, {"change": lambda s, v, x, p: v + pad(v[:, 1:], (0, 0, 0, 1))}, {"future"}),
        (Summing, {"forward": lambda s, x, p: s.out(s.kept(x, p))}, {"past"}),
        (Summing, {"kept": lambda s, x, p: x}, {"padding"}),
        (Summing, {"last_only": lambda s, x, p: s(x[:, -1:], p[:, -1:])[:, 0]}, {"last only"}),
        (UnusedWeight, {}, {"gradients"}),
        (Worth, {"taken": staticmethod(lambda state: state[Key.TAKEN])}, {"taken under next"}),
        (Worth, {"past": lambda s, h: s.worth(h).squeeze(-1).mean(1, True)}, {"padding"}),
        (Worth, {"change": seeds}, {"global chance"}),
        (Worth, {"change": lambda s, t, rewards: rewards.double()}, {"output as declared"}),
        (Worth, {"change": shorter}, {"devices"}),
        (PaidPrice, {"bind": unpadded}, {"renumbered"}),
        (Worth, {"change": lambda s, t, r: r + t[Key.STEP] * t["next", Key.VALUE][:, :1]}, set()),
        (PaidPrice, {"register_buffer": lambda s, *what: setattr(s, *what)}, {"devices"}),
    ],
)
def test_a_wrong_one_fails(base, changed, names, failing):
    assert failing(kind_of(base)(type("Wrong", (base,), changed)), PROCESS) == names


def test_a_reward_that_lacks_what_it_reads_is_passed_over():
    none = RewardChecks(PaidPrice, context=lambda: RewardContext())
    assert {check.outcome()[0] for check in none} == {"not checked"}


def test_a_key_that_transitions_lack_is_named_and_what_a_reward_depends_on():
    mood = type("Mood", (Worth,), {"change": lambda s, t, rewards: rewards * t["next", "mood"]})
    first, depends = (
        next(check for check in checks if check.name == "taken under next").outcome()[1]
        for checks in map(RewardChecks, (mood, Worth))
    )
    there = "user, history, action, step, accepted_total, taken, and under `next` taken, value"
    assert f'It asks for "mood", and there are {there}.' in first
    assert depends == "It depends on history, action, taken."


@pytest.mark.slow
def test_what_differs_in_another_process(tmp_path, monkeypatch, failing):
    source = """
        import torch
        from lightrec.encoders.base import Encoder

        class Hashed(Encoder):
            size = 1

            def encode(self, texts):
                return torch.tensor([float(hash(text) % 1000) for text in texts]).reshape(-1, 1)
    """
    path = tmp_path / "hashed_encoder_of_a_test.py"
    path.write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    from hashed_encoder_of_a_test import Hashed

    assert failing(EncoderChecks(Hashed)) == {PROCESS}
    path.unlink()
    (check,) = [check for check in EncoderChecks(Hashed) if check.name == PROCESS]
    with pytest.raises(DoesNotApply, match="cannot be imported in another process"):
        check()
