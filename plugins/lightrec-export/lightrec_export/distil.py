"""Distillation: a small ranker of two towers learns to say of all items what a run's blend says.

The blend has no two towers, and a ranker that has learned from it has. The teacher is what the run
serves. The student learns what it says after training events, and the histories of validation
events choose the epoch.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from inspect import signature
from time import perf_counter
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import kl_div

from lightrec.api import PADDING, Key, Ranker, RecipeError, Run
from lightrec.data.sequences import Sequences, Targets
from lightrec.data.share import RowSampler
from lightrec.data.store import TRAIN, VALIDATION, EventStore, padded
from lightrec.progress import progress_bar
from lightrec.ranking.blend import Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import evaluate_scores, rankable
from lightrec.ranking.scorers import Scorer, by_history
from lightrec.ranking.sequence_data import TrainWindows, Windows
from lightrec.trust import ARGUMENTS
from lightrec_export.towers import principal

Teacher: TypeAlias = Literal["blend", "ranker"]

EPOCHS: Final = 10
LEARNED: Final = 100_000
"""Training events at most at which the student learns from the teacher, of drawn users."""
BATCH: Final = 8
"""Windows of histories in a batch."""
LOGITS: Final = 1 << 22
"""Number of logits of a batch at most: of a large catalog, some of its positions are drawn."""
FIRST: Final = 256
"""Number of items that the teacher puts first and that are told apart."""
RATE: Final = 1e-3
"""Learning rate of AdamW at its highest, where a student starts as the run's ranker."""
FRESH: Final = 4e-3
"""The same, where its user tower starts at random."""
DROPOUT: Final = 0.05
SAMPLE: Final = 4_096
"""Training events that say which dimensions of the ranker's item vectors matter."""
JUDGED: Final = 2_000
"""Validation events that choose the epoch, and compare the student with its teacher."""
EVENTS: Final = 128
"""Number of events scored at once."""
LISTED: Final = 10
NEVER: Final = -1e9
"""The score of what may not come."""


def distilled(
    run: Run, by: Teacher, size: int | None = None, layers: int | None = None, seed: int = 0
) -> tuple[Ranker, dict[str, Any]]:
    """Teach a small ranker what a run's blend, or its ranker alone, says of all items.

    :param by: the teacher.
    :param size: of the student's user and item vectors; None for that of the run's ranker.
    :param layers: of the student's user tower; None for as many as the run's ranker has.
    :param seed: of the first weights and all draws.
    :returns: the student, and what is noted of it: ``teacher``, ``epoch``, and by part what
        :func:`compared` finds on validation events; no ``ndcg@10`` where they were learned from.
    :raises RecipeError: where the run's ranker has no student of that size, or of so many layers.
    """
    ranker = run.served.ranker
    teacher = run.served if by == "blend" else ranker
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        student = student_of(ranker, run.data, size, layers, seed)
        rate = RATE if student.size == ranker.size else FRESH
        epoch = teach(student, by_history(teacher), run.data, seed, rate)
    parts = {by: teacher, "ranker": ranker, "student": student}
    figures = compared(parts, run.data, seed)
    if run.served is not run.blend:  # what it serves has learned from these events
        figures = {name: {**each, "ndcg@10": None} for name, each in figures.items()}
    return student, {"teacher": by, "epoch": epoch, "parts": figures}


def student_of(
    ranker: Ranker, store: EventStore, size: int | None, layers: int | None, seed: int
) -> Ranker:
    """Make a ranker that knows items by vectors of their own alone; draws its first weights.

    Item vectors start as the ranker's, cut to their principal directions where they are shorter,
    and so do all weights of the user tower that have the same shape.

    :raises RecipeError: as :func:`distilled`.
    """
    kind: Any = type(ranker.users)
    size = ranker.size if size is None else size
    if not 1 <= size <= ranker.size:
        raise RecipeError(
            f"--size should be 1 to {ranker.size}, the dimensions that the run's ranker has, and "
            f"not {size}."
        )
    tower_of_run = ranker.description[ARGUMENTS].get("tower") or {}
    settings, parameters = dict(tower_of_run.get(ARGUMENTS, {})), signature(kind).parameters
    if layers is not None and ("layers" not in parameters or layers < 1):
        raise RecipeError(
            f"--layers should be 1 or more, and not {layers}."
            if "layers" in parameters
            else f"The run's user tower, a {kind.__name__}, has no layers: leave out --layers."
        )
    settings |= {"dropout": DROPOUT} if "dropout" in parameters else {}
    settings |= {} if layers is None else {"layers": layers}
    tower = partial(kind, **settings)
    student = Ranker(ranker.num_items, size=size, tower=tower, max_length=ranker.max_length)
    shapes = {name: weights.shape for name, weights in student.named_parameters()}
    weights = dict(ranker.named_parameters())
    fitting = {name: each for name, each in weights.items() if shapes.get(name) == each.shape}
    student.load_state_dict(fitting, strict=False)
    with torch.no_grad():
        table = ranker.item_vectors()
        if size < ranker.size:
            histories = [batch[Key.HISTORY] for batch in training_events(store, SAMPLE, seed)[2]]
            queries = torch.cat([ranker.user_vectors(each) for each in histories])
            table = principal(queries, table, ranker.bias, size)[1]
        assert student.items.ids is not None
        student.items.ids.copy_(table)
    return student


def teach(student: Ranker, teacher: Scorer, store: EventStore, seed: int, rate: float) -> int:
    """Make a student's distribution over items that of its teacher, after training histories.

    Every position of a window of a history is one prediction, as where a ranker is trained.

    :param student: keeps the weights of the epoch that is nearest to the teacher after the
        histories of validation events.
    :param rate: of AdamW, at its highest.
    :returns: that epoch; 0 for the first weights.
    """
    lessons = Lessons(teacher, store, student.max_length, seed)
    held = validation_events(store, seed)
    expected = ask(teacher, held)
    sampler = RowSampler(lessons.windows.drawn, len(lessons.windows), BATCH, seed)
    optimizer, steps = torch.optim.AdamW(student.parameters(), rate), EPOCHS * len(sampler)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    lowest, best, reached = torch.inf, student.state_dict(), 0
    with progress_bar(steps, "batch", desc="learning") as bar:
        for epoch in range(EPOCHS + 1):
            if (apart := distance(student.eval(), held, expected)) < lowest:
                lowest, best, reached = apart, deepcopy(student.state_dict()), epoch
            bar.set_postfix({"from the teacher": f"{apart:.4f}"})
            sampler.set_epoch(epoch)
            student.train()
            for windows in sampler if epoch < EPOCHS else ():
                optimizer.zero_grad()
                lessons.loss(student, windows).backward()
                optimizer.step()
                schedule.step()
                bar.update()
    student.load_state_dict(best)
    student.eval()
    return reached


class Lessons:
    """The answers of a teacher at training events, those of drawn users where there are many.

    :param length: of the windows of histories that are learned from.
    """

    def __init__(self, teacher: Scorer, store: EventStore, length: int, seed: int) -> None:
        log, users, events = training_events(store, LEARNED, seed)
        self.first, self.said = ask(teacher, events)
        self.row_of = np.zeros(len(log.items), np.int64)
        """(E,) which row of these is about an event."""
        self.row_of[events.events] = np.arange(len(events.events))
        counted = np.where(users, len(log.items), 0)
        self.windows = TrainWindows(log, length, len(log.items), last=counted)

    def loss(self, student: Ranker, windows: Windows) -> Tensor:
        """Compute the :func:`divergence` over some positions of windows.

        A window that begins amid a history lacks what came before, which the teacher has read:
        nothing is learned from its first half.
        """
        batch, (starts, ends) = self.windows[windows], windows.T
        history, target = batch[Key.HISTORY], batch[Key.TARGET]
        rows = torch.from_numpy(padded(self.row_of, starts + 1, ends + 1))
        begins = torch.from_numpy(np.isin(starts, self.windows.sequences.offsets))
        place = (history != PADDING).cumsum(1)
        learnable = begins[:, None] | (place > self.windows.max_length // 2)
        row, column = (learnable & (target != PADDING)).nonzero(as_tuple=True)
        some = torch.randperm(len(row))[: max(1, LOGITS // student.num_items)]
        row, column = row[some], column[some]
        vectors = student.states(history)[row, column]
        scores = student.scores(history[row], details={Key.USER_VECTOR: vectors})
        until = torch.arange(history.shape[1]) <= column[:, None]
        reached = batch.get(Key.REACHED, history)[row] * until
        seen = torch.cat([reached, batch[Key.SEEN][row]], 1)
        learned = rows[row, column]
        return divergence(scores, seen, self.first[learned], self.said[learned])


@torch.no_grad()
def distance(student: Ranker, events: EvaluationEvents, expected: tuple[Tensor, Tensor]) -> float:
    """Compute the mean :func:`divergence` over events, of which a teacher has said ``expected``."""
    said = zip(events, *(each.split(EVENTS) for each in expected), strict=True)
    losses = [
        divergence(student.scores(batch[Key.HISTORY]), batch[Key.SEEN], *answer) * len(answer[0])
        for batch, *answer in said
    ]
    return float(sum(losses)) / len(expected[0])


@torch.no_grad()
def ask(teacher: Scorer, events: EvaluationEvents) -> tuple[Tensor, Tensor]:
    """Ask a teacher what comes after the histories of E events.

    :returns: (E, K) int32, the items that it puts first of those that may come, and (E, K + 1)
        float32, the logarithms of their probabilities and of that of all others together.
    """
    first, said = [], []
    with progress_bar(len(events), "batch", desc="asking the teacher") as bar:
        for batch in events:
            scores = masked(teacher(batch), batch[Key.SEEN])
            best = scores.topk(min(FIRST, scores.shape[1] - 1)).indices
            first.append(best.int())
            said.append(grouped(scores, best))
            bar.update()
    return torch.cat(first), torch.cat(said)


def divergence(scores: Tensor, seen: Tensor, first: Tensor, said: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence from teacher to student, a mean in nats.

    That of their softmax over all items that may come (Hinton, Vinyals and Dean 2015), of which
    those that the teacher does not put first are taken together.

    :param scores: (B, N + 1) the student's.
    :param seen: (B, S) items that may not come, padded with 0.
    :param first: (B, K), and ``said`` (B, K + 1), from :func:`ask`.
    """
    logs = grouped(masked(scores, seen), first.long())
    return kl_div(logs, said, reduction="sum", log_target=True) / max(len(said), 1)


def masked(scores: Tensor, seen: Tensor) -> Tensor:
    """Scores (B, N + 1) in which items that may not come, (B, S), are very low."""
    return scores.masked_fill(~rankable(scores, seen), NEVER)


def grouped(scores: Tensor, first: Tensor) -> Tensor:
    """Log-probabilities (B, K + 1) of some items, (B, K), and of all others together."""
    every = scores.log_softmax(1)
    rest = every.scatter(1, first, NEVER).logsumexp(1, keepdim=True)
    return torch.cat([every.gather(1, first), rest], 1)


def training_events(
    store: EventStore, count: int, seed: int
) -> tuple[Sequences, NDArray[np.bool_], EvaluationEvents]:
    """Draw users who have about so many training events.

    :returns: the training histories of all, (U,) who was drawn, and the events of these, save each
        user's first, with what came before them.
    """
    log = Sequences.all_events(store).training()
    lengths = np.diff(log.offsets)
    order = np.random.default_rng(seed).permutation(len(lengths))
    drawn = np.zeros(len(lengths), np.bool_)
    drawn[order[lengths[order].cumsum() - lengths[order] < count]] = True
    events = np.arange(len(log.items))
    users = log.users_of(events)
    kept = drawn[users] & (events > log.offsets[users]) & (log.parts == TRAIN)
    targets = Targets(log.items, users, events).only(kept)
    return log, drawn, EvaluationEvents(log, targets, None, EVENTS, None, seed)


def validation_events(store: EventStore, seed: int) -> EvaluationEvents:
    """Draw validation events with whole histories."""
    return EvaluationEvents(Sequences.all_events(store), VALIDATION, None, EVENTS, JUDGED, seed)


def compared(
    parts: Mapping[str, Ranker | Blend], store: EventStore, seed: int
) -> dict[str, dict[str, float | None]]:
    """Compare parts, of which the first is the teacher, on validation events.

    :returns: of each ``ndcg@10``; ``top10``, the share of the teacher's ten best items that are
        among its own; ``mib`` of its weights and tables; and ``ms``, of the time to score all items
        for a user, several at once.
    """
    figures: dict[str, dict[str, float | None]] = {}
    best: Tensor | None = None
    for name, part in parts.items():
        spent: list[float] = []
        result = evaluate_scores(
            timed(by_history(part), spent), validation_events(store, seed), list_length=LISTED
        )
        best = result.lists if best is None else best
        same = (best[:, :, None] == result.lists[:, None]).any(2) & (best > 0)
        tensors = [*part.parameters(), *part.buffers()]
        figures[name] = {
            "ndcg@10": result.metrics()["ndcg@10"],
            "top10": float(same.sum() / (best > 0).sum()),
            "mib": sum(each.numel() * each.element_size() for each in tensors) / 2**20,
            "ms": 1e3 * sum(spent) / max(len(result.ranks), 1),
        }
    return figures


def timed(scores: Scorer, spent: list[float]) -> Scorer:
    """Note the seconds that each call of a scorer takes."""

    def measured(batch: Mapping[str, Tensor]) -> Tensor:
        began = perf_counter()
        made = scores(batch)
        spent.append(perf_counter() - began)
        return made

    return measured
