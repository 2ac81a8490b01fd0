"""The ranker stage's LightningModule: next-item ranking over the whole catalog."""

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, cast

import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightrec.data.files import save_tensors
from lightrec.data.sequences import GAP_BUCKETS, Batch, with_only
from lightrec.data.share import present_share
from lightrec.encoders.base import ENCODER
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.nn.cooccurrence import cooccurrence, leading_vectors
from lightrec.nn.row_adam import RowAdamW, clip_gradients
from lightrec.nn.stage import StageModule, warm_cosine
from lightrec.nn.towers import UserTower
from lightrec.ranking.blending import blend, refitted
from lightrec.ranking.continued import take_over
from lightrec.ranking.item_models.base import ItemModel
from lightrec.ranking.losses import RankingLoss, SampledSoftmaxLoss, SoftmaxLoss
from lightrec.ranking.metrics import CUTOFFS, event_metrics, mean_ranks
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import SequenceData

DECAY: Final = 0.8
"""Decay of the co-occurrence that id embeddings start from, per step between two events."""
REACH: Final = 10
"""Steps up to which two events of a history co-occur."""
NORM: Final = 0.5
"""Root mean square of the norms of the vectors that id embeddings start from."""
LARGE: Final = 50_000
"""Items up to which the usual loss is over all of them."""
RISE: Final = 50
"""Steps in which a constant learning rate is reached."""


class RankingMetrics(Metric):
    """Means of NDCG, recall and MRR at some cutoffs; keeps one number an event.

    :param cutoffs: the k of each metric.
    """

    full_state_update = False
    higher_is_better = True
    ranks: list[Tensor]

    def __init__(self, cutoffs: Sequence[int] = CUTOFFS) -> None:
        super().__init__()
        self.cutoffs = tuple(cutoffs)
        self.add_state("ranks", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, target: Tensor, seen: Tensor | None = None) -> None:
        """Take a batch, as in :func:`~lightrec.ranking.metrics.mean_ranks`."""
        self.ranks.append(mean_ranks(scores, target, seen).float().to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """The mean of each metric over all events; 0 where there were none."""
        ranks = dim_zero_cat(self.ranks) if len(self.ranks) else torch.zeros(0, device=self.device)
        values = event_metrics(ranks, self.cutoffs)
        return {name: value.sum() / max(len(ranks), 1) for name, value in values.items()}


class RankedStage(StageModule):
    """Trains what scores all items after a history.

    Every position of a window is one prediction for the loss. The best epoch is the one with the
    highest NDCG@10 on validation events, ranked among all items. The settings hold
    ``learning_rate`` and ``weight_decay``, and may hold a ``schedule``.
    """

    monitor: ClassVar[str] = "validation/ndcg@10"
    mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, num_items: int, vector_size: int) -> None:
        super().__init__(num_items, vector_size)
        self.metrics = RankingMetrics()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Mean loss over a training batch's targets, a scalar."""

    @abstractmethod
    def scores(self, batch: Batch) -> Tensor:
        """Score all items for a batch's histories: (B, N + 1)."""

    def scores_of(self, histories: Tensor) -> Tensor:
        """Score all items for histories (B, L), from which declined offers are taken out."""
        return self.scores(with_only({Key.HISTORY: histories}, histories <= self.num_items))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute the loss, and log its mean over the epoch."""
        loss, count = self.loss(batch), (batch[Key.TARGET] != PADDING).sum()
        size = max(int(count), 1)
        self.log("train/loss", loss, batch_size=size, on_step=False, on_epoch=True, sync_dist=True)
        # Each target counts alike. Batches hold windows of like lengths: by their means, a target
        # of a short history would count ten times as much as one of a long history.
        return loss * count * present_share().world / self.data_of(SequenceData).targets_in_batch

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Rank held-out events among all items."""
        self.metrics.update(self.scores(batch), batch[Key.TARGET], batch[Key.SEEN])

    def on_validation_epoch_end(self) -> None:
        """Log the means of the ranking metrics."""
        part = "test" if self.trainer.testing else "validation"
        values = self.metrics.compute()
        self.metrics.reset()
        # Means over all processes already, so that the mean over processes changes nothing.
        means = {f"{part}/{name}": value.float().to(self.device) for name, value in values.items()}
        self.log_dict(means, sync_dist=True)

    test_step = validation_step

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, sparse gradients too."""
        sparse = any(p.grad is not None and p.grad.is_sparse for p in self.parameters())
        if gradient_clip_val and sparse and gradient_clip_algorithm in (None, "norm"):
            clip_gradients(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    on_test_epoch_end = on_validation_epoch_end

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; matrices and embeddings decay, gains and biases do not."""
        parameters, settings = list(self.parameters()), self.settings
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        rate, decay = settings.learning_rate, settings.weight_decay
        # Fused: one pass over a large catalog's table in place of ten.
        optimizer = RowAdamW(
            groups, lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=self.fused
        )
        if settings.get("schedule") == "constant":
            return self.scheduled(optimizer, lambda step, _: min(1.0, (step + 1) / RISE))
        return self.scheduled(optimizer, warm_cosine)


class RankingModule(RankedStage):
    """Trains a :class:`~lightrec.ranking.ranker.Ranker` to rank the next item first.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param size: length of user and item vectors.
    :param tower: the user tower, such as ``{class_path: CausalTransformer, init_args: {layers:
        1}}``; null for a CausalTransformer.
    :param max_length: how many of a history's last items are read; as in the data.
    :param use_ids: whether items have id embeddings.
    :param mask_seen: whether items already seen are left out of the loss's negatives; null: where
        the domain says that items do not repeat. In ranking, the domain alone decides.
    :param loss: what training makes small; null for the softmax over all items, and where there are
        more than 50,000 for ``{class_path: SampledSoftmaxLoss, init_args: {negatives: 4096}}``.
    :param start: where id embeddings start: at random, or from the leading eigenvectors of a
        co-occurrence matrix.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices and embeddings.
    :param schedule: whether the learning rate falls along half a cosine, or stays after a short
        rise, so that nobody need know how long to train.
    :param use_feedback: whether the user tower reads what kind of event each one was, and learns
        which kind comes next; null: in a log with several kinds of feedback.
    :param use_gaps: whether it reads the time between a user's events, in a log with times.
    :param forget: share of training windows, drawn again each time, whose feedback and gaps are
        taken for unknown, so that a history of which only the items are known is ranked well, too.
    :param feedback_kinds: linked from the data.
    :param item_models: fitted after training and blended with the ranker by weights that are
        chosen on validation events; null for the ranker alone.
    :param continues: folder of an earlier ranker stage: training continues from its weights, those
        of items by id, and item models are fitted again with the settings chosen there. The data's
        ``since`` names the log that it was trained on.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        size: int = 64,
        tower: Callable[[int], UserTower] | None = None,
        max_length: int = 50,
        use_ids: bool = True,
        mask_seen: bool | None = None,
        loss: RankingLoss | None = None,
        start: Literal["random", "cooccurrence"] = "cooccurrence",
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        schedule: Literal["cosine", "constant"] = "cosine",
        item_models: list[ItemModel] | None = None,
        use_feedback: bool | None = None,
        use_gaps: bool = False,
        forget: float = 0.2,
        feedback_kinds: int = 0,
        continues: str | None = None,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters(ignore=["item_models"])
        self.item_models = item_models
        self.ranker = Ranker(
            num_items=num_items,
            vector_size=vector_size,
            size=size,
            tower=tower,
            max_length=max_length,
            use_ids=use_ids,
            feedback_kinds=0 if use_feedback is False else feedback_kinds,
            gaps=GAP_BUCKETS if use_gaps else 0,
        )
        self.mask_seen = mask_seen
        usual = SoftmaxLoss if num_items <= LARGE else SampledSoftmaxLoss
        self.criterion = usual() if loss is None else loss
        self._table: Tensor | None = None

    def setup(self, stage: str) -> None:
        """Take text vectors, and let id embeddings start where the log says."""
        data, tower = self.data_of(SequenceData), self.ranker.items
        if tower.uses_text:
            tower.set_vectors(data.vectors)
        if self.mask_seen is None:
            self.mask_seen = not data.store.repeats
        if stage != "fit":
            return
        if data.max_length != self.ranker.max_length:
            raise RecipeError(
                f"The ranker's recipe cuts histories to {data.max_length} items in its data part "
                f"and to {self.ranker.max_length} in its model section: max_length must be the "
                "same in both."
            )
        problems, settings = [], self.settings
        if (settings.continues is None) != (data.since is None):
            problems.append(
                "`continues` of the model section names an earlier ranker, and `since` of the data "
                "section the log that it was trained on: give both, or leave out both."
            )
        if settings.use_feedback and not data.feedback_kinds:
            problems.append(
                f"use_feedback is true, and the events in {data.data} have one kind of feedback or "
                "were prepared without it: set use_feedback to false, or prepare a log with "
                "several kinds."
            )
        if settings.use_gaps and not data.store.has_times:
            problems.append(
                f"use_gaps is true, and the log in {data.data} has no times: set use_gaps to false."
            )
        if problems:
            raise RecipeError(problems)
        if data.store.goal_kinds and self.ranker.asked is not None:
            self.ranker.asks.fill_(data.store.goal_kinds[0])
        # What goes over a table of a million rows at each step costs more than all else.
        averaged = any(isinstance(each, WeightAveraging) for each in self.trainer.callbacks)  # type: ignore[attr-defined]
        whole = averaged or self.trainer.world_size > 1 or self.num_items <= LARGE
        tower.sparse = self.criterion.samples and not whole
        self.criterion.prepare(torch.from_numpy(data.store.popularity()).float().to(self.device))
        if settings.start == "cooccurrence" and tower.ids is not None:
            log = data.training
            counts = cooccurrence(log.items, log.offsets, self.num_items, DECAY, REACH)
            start = leading_vectors(counts, tower.size) * NORM
            with torch.no_grad():
                # An item that never came with another keeps its random start.
                has_pairs = start.any(dim=1, keepdim=True)
                tower.ids.copy_(torch.where(has_pairs, start, tower.ids.cpu()))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """As of every ranker; where gradients are sparse, rows are moved before they are read."""
        made: Any = super().configure_optimizers()
        tower, optimizer = self.ranker.items, made["optimizer"]
        if tower.sparse:

            def catch_up(module: nn.Module, asked: tuple[Tensor, ...]) -> None:
                optimizer.catch_up(tower.ids, *(items.unique() for items in asked))

            self._catching_up = tower.register_forward_pre_hook(catch_up)
        return cast(OptimizerLRScheduler, made)

    def on_fit_end(self) -> None:
        """Move all rows up to the last step."""
        if self.ranker.items.sparse:
            self.ranker.items()
            self._catching_up.remove()

    def on_fit_start(self) -> None:
        """Go on from an earlier ranker, unless this training is itself resumed."""
        data, folder = self.data_of(SequenceData), self.earlier
        if folder is not None and data.before is not None and self.trainer.ckpt_path is None:
            earlier = Ranker.load(folder)
            if anew := take_over(self.ranker, earlier, data.store, data.before):
                print(f"Learned from scratch, for want of earlier weights: {', '.join(anew)}.")

    @property
    def earlier(self) -> str | None:
        """The folder of the ranker from which training continues, if there is one."""
        return self.data_of(SequenceData).ranker or self.settings.continues

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss over a training batch's targets, a scalar."""
        history, target = batch[Key.HISTORY], batch[Key.TARGET]
        reached = batch.get(Key.REACHED, history)
        row, column = (target != PADDING).nonzero(as_tuple=True)
        states = self.ranker.states(history, self._details(batch))[row, column]

        def seen(rows: slice) -> Tensor:
            if not self.mask_seen:
                return row.new_zeros(len(row[rows]), 0)
            steps = torch.arange(history.shape[1], device=history.device)
            until = steps <= column[rows, None]
            return torch.cat([reached[row[rows]] * until, batch[Key.SEEN][row[rows]]], dim=1)

        return self.criterion(self.ranker, states, target[row, column], seen)

    def _details(self, batch: Batch) -> Batch:
        """Feedback and gaps of a training batch, of some windows forgotten."""
        reads = {Key.FEEDBACK: self.ranker.feedback, Key.GAP: self.ranker.gaps}
        details = {key: batch[key] for key, x in reads.items() if x is not None and key in batch}
        if not details:
            return details
        history = batch[Key.HISTORY]
        remembered = torch.rand(len(history), 1, device=history.device) >= self.settings.forget
        details = {key: rows * remembered for key, rows in details.items()}
        if self.ranker.asked is not None and Key.ASKED in batch:
            # All kinds of the goal are asked for as one; where there is no goal, nothing is.
            goal = self.data_of(SequenceData).store.goal_kinds
            kinds = batch[Key.ASKED] * bool(goal)
            reached = torch.isin(kinds, kinds.new_tensor(goal))
            details[Key.ASKED] = self.ranker.asks.where(reached, kinds)
        return details

    def scores(self, batch: Batch) -> Tensor:
        """Score all items for a batch's histories: (B, N + 1)."""
        return self.ranker.scores(batch[Key.HISTORY], details=batch, items=self._table)

    def item_vectors(self) -> Tensor:
        """The ranker's item vectors, (N + 1, D)."""
        return self.ranker.item_vectors()

    def on_validation_epoch_start(self) -> None:
        """Compute the item vectors once for all batches."""
        self._table = self.ranker.item_vectors()

    def on_validation_epoch_end(self) -> None:
        """Log the means of the ranking metrics, and forget the item vectors."""
        super().on_validation_epoch_end()
        self._table = None

    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write the ranker, item vectors, biases, what the encoder notes, and the blend."""
        self.eval()
        self.ranker.save_pretrained(folder)
        tables = {"vectors": self.ranker.item_vectors(), "bias": self.ranker.bias}
        save_tensors(tables, folder / "items.safetensors")
        data = self.data_of(SequenceData)
        noted = json.dumps(data.about_texts, indent=2, ensure_ascii=False)
        (folder / ENCODER).write_text(f"{noted}\n", encoding="utf-8")
        earlier = self.earlier
        if earlier is not None:
            blended, metrics = refitted(self.ranker.cpu(), earlier, data)
        else:
            blended, metrics = blend(self.ranker.cpu(), self.item_models or [], data)
        if self.item_models or blended.item_models:
            blended.save(folder)
        return {f"validation/{name}": value for name, value in metrics.items()}
