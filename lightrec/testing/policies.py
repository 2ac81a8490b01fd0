"""The contract of policies: scores, slates and the probabilities with which they are drawn."""

import itertools
import tempfile
from collections.abc import Callable

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.policies.base import LearnedPolicy, Policy, session_start
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all
from lightrec.testing.tensors import TOLERANCE, described, same

MakePolicy = Callable[[], Policy]

ROWS, LENGTH = 6, 8
DRAWN = "Its scores are drawn anew each time."
DRAWS = 4000
"""Slates drawn where frequencies are compared with probabilities."""


def policy_checks(make: MakePolicy, part: str | None = None) -> list[Check]:
    """Give the checks of a policy.

    :param make: builds a fresh policy of 6 or more items.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, around=seeded)


def check_policy(make: MakePolicy) -> None:
    """Run all checks of a policy.

    :raises ContractError: that lists all that failed.
    """
    run_all(policy_checks(make))


def shape_and_type(make: MakePolicy) -> None:
    """A float32 score for every row and item."""
    policy = _ready(make)
    found = _scores(policy, _state(policy))
    wanted = (ROWS, policy.num_items + 1)
    expect(
        found.shape == wanted and found.dtype == torch.float32,
        f"{ROWS} histories give scores of shape {wanted}, float32: a column for padding and one "
        "for each item.",
        f"They gave {described(found)}.",
        "Return `num_items` + 1 columns from `logits`, and end with `.float()`.",
    )


def column_0(make: MakePolicy) -> None:
    """Padding cannot be shown."""
    policy = _ready(make)
    found = _scores(policy, _state(policy))[:, PADDING]
    expect(
        (found == -torch.inf).all(),
        "Column 0 of the scores is minus infinity, since 0 is no item.",
        f"It holds {found[0].item():.3g}.",
        "End `logits` with `lightrec.policies.base.among_candidates(state, scores)`.",
    )


def finite(make: MakePolicy) -> None:
    """Items have scores that can be compared."""
    policy = _ready(make)
    found = _scores(policy, _state(policy))[:, 1:]
    bad = found.isnan() | (found == torch.inf)
    expect(
        not bad.any(),
        "No item's score is NaN or plus infinity.",
        f"{int(bad.sum())} of {bad.numel()} are.",
        "Look for a division by 0 and for logarithms of negative numbers.",
    )


def empty_history(make: MakePolicy) -> None:
    """Somebody new is shown something."""
    policy = _ready(make)
    found = policy.scores(session_start(torch.zeros(2, LENGTH, dtype=torch.int64)))[:, 1:]
    expect(
        not found.isnan().any() and found.isfinite().any(1).all(),
        "A history of nothing but padding gives scores.",
        f"{int(found.isnan().sum())} of {found.numel()} are NaN, and "
        f"{int((~found.isfinite().any(1)).sum())} of 2 histories have no finite score.",
        "Treat a history without items on its own; a mean over none of them is NaN.",
    )


def declined_slates(make: MakePolicy) -> None:
    """Histories may hold N + 1."""
    policy = _ready(make)
    history = _histories(policy.num_items)
    history[:, -2] = policy.num_items + 1
    found = policy.scores(session_start(history))[:, 1:]
    expect(
        not found.isnan().any(),
        "Histories may hold N + 1 for declined slates.",
        f"{int(found.isnan().sum())} of {found.numel()} scores are NaN.",
        "Take declined slates out with `lightrec.policies.base.without_nothing`.",
    )


def padding(make: MakePolicy) -> None:
    """More padding on the left changes nothing."""
    policy = _ready(make)
    history = _histories(policy.num_items)
    with seeded():
        short = policy.scores(session_start(history))
    with seeded():
        long = policy.scores(session_start(torch.nn.functional.pad(history, (5, 0))))
    same(
        long,
        short,
        "More padding on the left of the history changes no score.",
        "Leave out what is 0 in the history, and count from its right end.",
    )


def rows_apart(make: MakePolicy) -> None:
    """A row's scores do not depend on the rows beside it."""
    policy = _ready(make)
    history = _histories(policy.num_items)
    if _is_drawn(policy, history):
        raise DoesNotApply(DRAWN)
    same(
        policy.scores(session_start(history)),
        torch.cat([policy.scores(session_start(row.unsqueeze(0))) for row in history]),
        "A session's scores are the same in a batch and alone.",
        "Do not normalise over the batch; compute each row from itself.",
    )


def normalised_items(make: MakePolicy) -> None:
    """The probabilities of all single items add up to 1."""
    policy = _ready(make)
    state = _state(policy)
    law = policy.distribution(state, 1)
    items = torch.arange(1, policy.num_items + 1).view(-1, 1, 1).expand(-1, ROWS, 1)
    _adds_up(law.log_prob(items), "items")


def normalised_pairs(make: MakePolicy) -> None:
    """The probabilities of all ordered pairs add up to 1."""
    policy = _ready(make)
    state = _few(policy, ROWS)
    pairs = _pairs(state[Key.MASK][0])
    law = policy.distribution(state, 2)
    _adds_up(law.log_prob(pairs.unsqueeze(1).expand(-1, ROWS, -1)), "ordered pairs")


def valid_slates(make: MakePolicy) -> None:
    """Slates hold distinct items of the mask, and 0 where nothing is left."""
    policy = _ready(make)
    for deterministic in (True, False):
        state = _state(policy)
        state[Key.MASK][0] = False
        state[Key.MASK][1] = False
        state[Key.MASK][1, 2] = True
        acted = policy.act(state, 3, deterministic)
        shape = tuple(acted[Key.ACTION].shape)
        expect(
            shape == (ROWS, 3),
            f"{ROWS} slates of 3 items are a tensor of shape ({ROWS}, 3).",
            f"They came as {shape}.",
            "Leave slates to `Policy.act`.",
        )
        wrong = [row for row in range(ROWS) if _fault(acted[Key.ACTION][row], state[Key.MASK][row])]
        expect(
            not wrong,
            "A slate holds distinct items of the mask, and 0 in the last places where nothing is "
            "left.",
            f"With deterministic={deterministic}, {len(wrong)} of {ROWS} slates do not, the first "
            f"being {acted[Key.ACTION][wrong[0] if wrong else 0].tolist()}.",
            "Leave slates to `Policy.act`, or draw them with `PlackettLuce` and the state's mask.",
        )


def written_probability(make: MakePolicy) -> None:
    """The propensity that is logged is the one by which the slate was drawn."""
    policy = _ready(make)
    for places in (1, 3):
        state = _state(policy)
        # The same chance for scores that are drawn; slates are drawn after them.
        with seeded():
            acted = policy.act(state.clone(), places, deterministic=False)
        with seeded():
            law = policy.distribution(state, places)
        slate = acted[Key.ACTION]
        same(
            acted[Key.LOG_PROBABILITY],
            law.log_prob(slate),
            "`action_log_prob` is the logarithm of the slate's probability under `distribution`.",
            "Write `distribution.log_prob` of the very columns that are shown, in their order.",
        )


def frequencies(make: MakePolicy) -> None:
    """Slates come as often as their probabilities say."""
    policy = _ready(make)
    state = _few(policy, DRAWS)
    pairs = _pairs(state[Key.MASK][0])
    law = policy.distribution(state, 2)
    wanted = law.log_prob(pairs.unsqueeze(1).expand(-1, DRAWS, -1)).exp().mean(1)
    shown = policy.act(state, 2, deterministic=False)[Key.ACTION]
    found = (pairs.unsqueeze(1) == shown).all(-1).float().mean(1)
    # Five standard errors, of two draws where scores are drawn too.
    allowed = 5 * (2 * wanted * (1 - wanted) / DRAWS).sqrt() + 1e-4
    far = (found - wanted).abs() / allowed
    worst = int(far.argmax())
    expect(
        far.max() <= 1,
        f"Of {DRAWS} slates, each comes as often as its probability says.",
        f"{pairs[worst].tolist()} came with frequency {found[worst]:.3f}, and its probability is "
        f"{wanted[worst]:.3f}.",
        "Draw from the law whose `log_prob` is written; leave both to `Policy.act`.",
    )


def best_first(make: MakePolicy) -> None:
    """Deterministic slates hold the highest scores in order."""
    policy = _ready(make)
    state = _state(policy)
    with seeded():
        slate = policy.act(state.clone(), 3, deterministic=True)[Key.ACTION]
    with seeded():
        scores = _scores(policy, state)
    best = scores.masked_fill(~state[Key.MASK], -torch.inf).topk(3).values
    same(
        scores.gather(1, slate),
        best,
        "Deterministic slates hold the items of highest score that may be shown, best first.",
        "Leave slates to `Policy.act`.",
    )


def deterministic(make: MakePolicy) -> None:
    """The same state has the same deterministic slate again."""
    policy = _ready(make)
    state = _state(policy)
    if _is_drawn(policy, state[Key.HISTORY]):
        raise DoesNotApply(DRAWN)
    scores = _scores(policy, state)[:, 1:]
    if (scores == scores[:, :1]).all():
        raise DoesNotApply("All its items have the same score, so that any slate is a best one.")
    first, second = (policy.act(state.clone(), 3)[Key.ACTION] for _ in range(2))
    expect(
        torch.equal(first, second),
        "The same state has the same deterministic slate again.",
        f"{int((first != second).any(1).sum())} of {ROWS} slates differ.",
        "Draw nothing where `deterministic` is True.",
    )


def session_features(make: MakePolicy) -> None:
    """Critics read a row of finite numbers for each session."""
    policy = _ready(make)
    if not isinstance(policy, LearnedPolicy):
        raise DoesNotApply("It is no LearnedPolicy, so that no critic reads features of it.")
    state = _state(policy)
    found = policy.session_features(state.clone())
    wanted = (ROWS, policy.feature_size)
    expect(
        found.shape == wanted and found.dtype == torch.float32,
        f"The features of {ROWS} sessions have shape {wanted}, float32, as `feature_size` says.",
        f"They are {described(found)}.",
        "Set `feature_size` in the constructor to the length of what `session_features` returns.",
    )
    expect(
        found.isfinite().all(),
        "The features of a session are finite.",
        f"{int((~found.isfinite()).sum())} of {found.numel()} are NaN or infinite.",
        "Look for a division by a count that is 0 where a session or a history begins.",
    )
    same(
        found,
        torch.cat([policy.session_features(state[row : row + 1].clone()) for row in range(ROWS)]),
        "A session has the same features in a batch and alone.",
        "Do not normalise over the batch; compute each row from itself.",
    )


def saved(make: MakePolicy) -> None:
    """``save_pretrained`` and ``from_pretrained`` carry all that scores depend on."""
    policy = _ready(make)
    for parameter in policy.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    state = _state(policy)
    with tempfile.TemporaryDirectory() as folder:
        policy.save_pretrained(folder)
        loaded = type(policy).from_pretrained(folder).eval()
    with seeded():
        before = _scores(policy, state)
    with seeded():
        after = _scores(loaded, state)
    same(
        after,
        before,
        "A policy that was saved and loaded gives the same scores.",
        "Give the constructor plain arguments, and register every tensor that scores depend on.",
    )


CHECKS = (
    shape_and_type,
    column_0,
    finite,
    empty_history,
    declined_slates,
    padding,
    rows_apart,
    normalised_items,
    normalised_pairs,
    valid_slates,
    written_probability,
    frequencies,
    best_first,
    deterministic,
    session_features,
    saved,
)


def _ready(make: MakePolicy) -> Policy:
    return make().eval().requires_grad_(False)


def _histories(num_items: int, rows: int = ROWS) -> Tensor:
    """Draw histories (rows, 8) with different amounts of padding."""
    history = torch.randint(1, num_items + 1, (rows, LENGTH))
    return history * (torch.arange(LENGTH) >= torch.arange(rows).unsqueeze(1) % LENGTH)


def _state(policy: Policy) -> TensorDict:
    """Make the state of six sessions that have shown different numbers of slates."""
    mask = torch.rand(ROWS, policy.num_items + 1) < 0.7
    mask[:, 1:5] = True
    mask[:, PADDING] = False
    data = {
        Key.HISTORY: _histories(policy.num_items),
        Key.MASK: mask,
        Key.STEP: torch.arange(ROWS).unsqueeze(1),
        Key.ACCEPTED_TOTAL: torch.arange(ROWS).unsqueeze(1).float() / 2,
    }
    return TensorDict(data, batch_size=[ROWS])


def _few(policy: Policy, rows: int) -> TensorDict:
    """Make one state many times over, with four items that may be shown."""
    state = _state(policy)[3:4].expand(rows).clone()
    state[Key.MASK][:] = False
    state[Key.MASK][:, 1:5] = True
    return state


def _scores(policy: Policy, state: TensorDictBase) -> Tensor:
    return policy.scores(state.exclude(Key.MASK))


def _is_drawn(policy: Policy, history: Tensor) -> bool:
    first, second = (policy.scores(session_start(history))[:, 1:] for _ in range(2))
    return not torch.equal(first, second)


def _pairs(mask: Tensor) -> Tensor:
    """List all ordered pairs (P, 2) of items of a mask."""
    return torch.tensor(list(itertools.permutations(mask.nonzero().squeeze(1).tolist(), 2)))


def _adds_up(log_probabilities: Tensor, what: str) -> None:
    total = log_probabilities.exp().sum(0)
    off = float((total - 1).abs().max())
    expect(
        off <= TOLERANCE,
        f"In every state the probabilities of all {what} add up to 1.",
        f"They add up to {total[(total - 1).abs().argmax()].item():.6f}.",
        "Give `distribution` logits, and leave what may not be shown to the state's mask.",
    )


def _fault(slate: Tensor, mask: Tensor) -> bool:
    """Whether a slate (K,) is none that may be shown under a mask (N + 1,)."""
    shown = [item for item in slate.tolist() if item != PADDING]
    places = min(len(slate), int(mask.sum()))
    return (
        slate[: len(shown)].tolist() != shown
        or len(set(shown)) != places
        or len(shown) != places
        or not all(0 < item < len(mask) and bool(mask[item]) for item in shown)
    )
