"""A second look at the first items of a blend, by a small network on what its parts say of them.

A weighted sum asks all parts to agree. An item that one part puts far ahead of all others, such as
the one whose text is nearest, may well come next though the other parts hardly know it: that takes
more than a sum.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.data.sequences import Batch
from lightrec.intervals import ahead
from lightrec.keys import Key
from lightrec.progress import progress_bar
from lightrec.ranking.blend_weights import FEW
from lightrec.ranking.metrics import event_metrics, mean_ranks

FIRST: Final = 200
"""Items that are looked at again."""
MEMBERS: Final = 5
"""Networks, each of which learns without a fifth of the users, on whom it is judged."""
HIDDEN: Final = 32
"""Width of a network's two hidden layers."""
EPOCHS, ROWS, RATE = 10, 128, 3e-3
"""Of their training: passes, events in a batch, and the rate at first, which falls to 0."""


class Reranker(nn.Module):
    """Shares the probability of a blend's first items among them again.

    Of an item it reads the blend's score and each part's, less their means over the first items,
    and its rank among these by each: 2 (P + 1) = F numbers. At first it repeats the blend.

    :param parts: names of the P parts that it reads.
    :param repeats: whether items come again; those in a history are passed by otherwise.
    """

    mean: Tensor
    """(F,) of what is read, over the events that it learned from."""
    deviation: Tensor
    """(F,), likewise."""

    def __init__(self, parts: Sequence[str], repeats: bool) -> None:
        super().__init__()
        self.parts, self.repeats = list(parts), repeats
        read = 2 * (len(self.parts) + 1)
        self.register_buffer("mean", torch.zeros(read))
        self.register_buffer("deviation", torch.ones(read))
        self.inner = nn.ParameterList(torch.zeros(MEMBERS, n, HIDDEN) for n in (read, HIDDEN))
        self.shift = nn.Parameter(torch.zeros(2, MEMBERS, 1, HIDDEN))
        self.out = nn.Parameter(torch.zeros(MEMBERS, HIDDEN, 1))
        self.direct = nn.Parameter(torch.zeros(MEMBERS, read, 1))

    @property
    def description(self) -> dict[str, Any]:
        """The constructor's arguments, plain Python."""
        return {"parts": self.parts, "repeats": self.repeats}

    def read(self, total: Tensor, parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find the first items, and what is said of them.

        :param total: (B, N + 1) the blend's scores; -inf for what is passed by.
        :param parts: (P, B, N + 1) finite scores of its parts.
        :returns: (B, H) int64 the first items, (B, H) bool which of them may be, and (B, H, F).
        """
        values, places = total.topk(min(FIRST, total.shape[1] - 1), dim=1)
        there = values > -torch.inf
        said = torch.cat([values[None], parts.gather(2, places.expand(len(parts), -1, -1))])
        # Where there are fewer, the rest is like the last.
        lowest = said.where(there, torch.inf).amin(2, keepdim=True)
        said = said.where(there, lowest).nan_to_num(posinf=0.0)
        ordered, said = said.sort(dim=2).values, said.contiguous()
        after = [torch.searchsorted(ordered, said, side=side) for side in ("left", "right")]
        ranks = said.shape[2] - (after[0] + after[1] - 1) / 2
        read = torch.cat([said - said.mean(2, keepdim=True), ranks.log()])
        return places, there, read.permute(1, 2, 0)

    def logits(self, read: Tensor) -> Tensor:
        """What each network makes of (B, H, F): (MEMBERS, B, H)."""
        x = ((read - self.mean) / self.deviation).flatten(0, 1)
        hidden = x.expand(MEMBERS, -1, -1)
        for inner, shift in zip(self.inner, self.shift, strict=True):
            hidden = functional.gelu(hidden @ inner + shift)
        return (hidden @ self.out + x @ self.direct).view(MEMBERS, *read.shape[:2])

    def forward(self, total: Tensor, parts: Tensor, histories: Tensor) -> Tensor:
        """Score all items again: those after the first keep their scores.

        :param total: (B, N + 1) the blend's scores, -inf in column 0.
        :param parts: (P, B, N + 1) those of the parts that it reads.
        :param histories: (B, L).
        :returns: (B, N + 1); the sum of the first items' exponentials is as before.
        """
        passed = total if self.repeats else total.scatter(1, histories, -torch.inf)
        places, there, read = self.read(passed, parts)
        logits = self.logits(read).mean(0).where(there, -torch.inf).log_softmax(1)
        before = total.gather(1, places)
        mass = before.where(there, -torch.inf).logsumexp(1, keepdim=True)
        return total.scatter(1, places, (logits + mass).where(there, before))

    def learn(self, read: Tensor, there: Tensor, place: Tensor, folds: Tensor, seed: int) -> None:
        """Train the networks, each on the events outside its fold.

        :param read: (E, H, F) from :meth:`read`, as is ``there``, (E, H).
        :param place: (E,) int64: which of the first items came.
        :param folds: (E,) int64, below :data:`MEMBERS`.
        """
        self.mean, self.deviation = read.mean((0, 1)), read.std((0, 1)).clamp_min(1e-6)
        self.direct.data[:, 0] = self.deviation[0]
        generator = torch.Generator().manual_seed(seed)
        for inner in self.inner:
            inner.data.normal_(std=inner.shape[1] ** -0.5, generator=generator)
        optimizer = torch.optim.AdamW(self.parameters(), lr=RATE)
        steps = EPOCHS * -(-len(read) // ROWS)
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        judged = torch.arange(MEMBERS)[:, None] == folds
        with torch.enable_grad(), progress_bar(steps, "second look") as bar:
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(read), generator=generator).split(ROWS):
                    logits = self.logits(read[rows]).where(there[rows], -torch.inf).log_softmax(2)
                    chosen = place[rows].expand(MEMBERS, -1)[..., None]
                    loss = -logits.gather(2, chosen)[..., 0].masked_fill(judged[:, rows], 0.0)
                    optimizer.zero_grad(set_to_none=True)
                    (loss.sum() / len(rows)).backward()
                    optimizer.step()
                    falling.step()
                    bar.update()
        self.requires_grad_(False)

    @torch.no_grad()
    def choose(
        self, events: Iterable[tuple[Batch, Tensor, Tensor]], seed: int
    ) -> tuple[bool, dict[str, float]]:
        """Learn from validation events, and say whether that ranks better than the blend.

        An event is judged by the network that has not learned from its user. Better is more than
        one standard error ahead, users being what is drawn.

        :param events: batches, the blend's scores (B, N + 1) and those of the parts (P, B, N + 1).
        :returns: whether it is better, and metrics of what is: of the re-ranker as it was judged.
        """
        pieces = []
        for batch, total, parts in events:
            target, seen = batch[Key.TARGET], batch[Key.SEEN]
            places, there, read = self.read(total.scatter(1, seen, -torch.inf), parts)
            came = places == target[:, None]
            place = came.int().argmax(1).where(came.any(1), -1)
            pieces.append((read, there, place, mean_ranks(total, target, seen), batch[Key.USER]))
        if not pieces:
            return False, {}
        read, there, place, ranks, users = map(torch.cat, zip(*pieces, strict=True))
        found, folds, again, better = place >= 0, users % MEMBERS, ranks.clone(), False
        if len(users) >= FEW and len(folds[found].unique()) == MEMBERS:
            self.learn(read[found], there[found], place[found], folds[found], seed)
            for rows in found.nonzero()[:, 0].split(ROWS):
                logits = self.logits(read[rows])[folds[rows], torch.arange(len(rows))]
                logits = logits.where(there[rows], -torch.inf)
                # Column 0 is nobody's in mean_ranks.
                again[rows] = mean_ranks(functional.pad(logits, (1, 0)), place[rows] + 1)
            before, after = (event_metrics(each)["ndcg@10"] for each in (ranks, again))
            better = ahead(after - before, users) > 1
        metrics = event_metrics(again if better else ranks)
        return better, {name: float(values.mean()) for name, values in metrics.items()}
