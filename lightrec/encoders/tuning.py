"""The stage `text`'s LightningModule: a text encoder learns from the log what goes with what.

What is tuned knows the different texts by their numbers, makes vectors of them, learns, and saves
itself.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import embedding_bag, normalize

from lightrec.data.share import of_all, part_of_all, present_share
from lightrec.encoders.base import unit_vectors
from lightrec.encoders.hub import TUNED
from lightrec.encoders.layers import Layers, LinearMap, Tuned
from lightrec.encoders.tuning_data import Batch, TextData
from lightrec.encoders.worth import compared
from lightrec.errors import RecipeError
from lightrec.nn.stage import StageModule, warm_cosine

RECALLED = 10
"""Number of texts held out that may stand before the one that was chosen."""
HELD_OUT = "items held out that are found in ten"
"""Name of the recall in the report."""
RANKED = "NDCG@10 beside who chose what"
"""Name of the other judgement there."""
MANY = 1 << 14
"""Texts that go into vectors at once."""
SHARPNESS_RATE = 0.03
"""The learning rate of the temperature's logarithm."""


class TextModule(StageModule):
    """Tunes a text encoder, so that texts are alike whose items people choose one after the other.

    Each text's softmax over all texts is to be the share of training events in which they stand
    near it. Its logits are cosines of centred vectors, divided by a temperature that is learned,
    plus the logarithm of the other text's popularity: what everybody chooses says nothing of a
    text. Cost follows the number of items, and not of events.

    The best epoch is decided by the recall of items that were never trained on, see
    :class:`~lightrec.encoders.tuning_data.TextData`. Whether what was learned is taken at all is
    decided by other users' validation events: a ranking by who chose what and by the vectors, see
    :mod:`~lightrec.encoders.worth`, is to be clearly better by the tuned ones. Where a log says too
    little, the encoder is left as it is, and the stage says why.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param tune: what is tuned: ``map``, a square linear map of the vectors, laid over the frozen
        model; with it ``layers``, the model's upper layers, ``lora``, adapters in them, or
        ``full``, all of the model, see :class:`~lightrec.encoders.layers.Layers`; or ``none``.
    :param layers: how many layers, from above, are trained or get adapters; null for all. It says
        nothing of ``full``.
    :param rank: of adapters.
    :param alpha: what adapters are multiplied by, times the rank; null: twice the rank.
    :param dropout: share of what adapters read that is left out in training.
    :param targets: names in which the linear layers that get adapters end, such as ``[q_proj]``;
        null: all.
    :param gradient_checkpointing: whether the model computes states again on the way back, which
        takes more time and less memory.
    :param learning_rate: AdamW's, at its highest; null: what suits what is tuned.
    :param weight_decay: AdamW's.
    :param temperature: where it starts.
    :param popularity: how much of the popularity goes into the logits, 0 to 1.
    """

    monitor: ClassVar[str] = "validation/recall@10"
    mode: ClassVar[Literal["min", "max"]] = "max"

    shards = True
    trained: Tensor
    """(M,) int64, numbers of the texts trained on; like the three below, float32 in any precision,
    and so no buffer."""
    popular: Tensor
    """(M,) float32: what popularity adds to their logits."""
    bank: Tensor
    """(M, V) float32: their vectors, centred, each as of when it was last computed."""
    centre: Tensor
    """(V,) float32: the mean that was taken from them."""

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        tune: Literal["map", "layers", "lora", "full", "none"] = "map",
        layers: int | None = 2,
        rank: int = 8,
        alpha: float | None = None,
        dropout: float = 0.0,
        targets: list[str] | None = None,
        gradient_checkpointing: bool = False,
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        temperature: float = 0.125,
        popularity: float = 1.0,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        above = {"temperature": temperature, "layers": layers, "rank": rank, "alpha": alpha}
        for name, value in (above | {"learning_rate": learning_rate}).items():
            if value is not None and value <= 0:
                raise RecipeError(f"`{name}` is {value}, and must be above 0.")
        self.sharpness = nn.Parameter(torch.tensor([-math.log(temperature)]))
        """The logarithm of the inverse temperature."""
        self.part: Tuned | None = LinearMap(vector_size) if tune == "map" else None
        self._learned = [name for name, _ in self.named_parameters()]
        self.strict_loading = False  # checkpoints hold what is learned alone
        self._latest: Tensor | None = None
        self._table = torch.zeros(0)
        self._hits: list[Tensor] = []

    def setup(self, stage: str) -> None:
        """Take the frozen vectors and what the texts are trained towards."""
        data, settings = self.data_of(TextData), self.settings
        if not self.learns:
            return
        frozen = data.text_vectors  # before the encoder gives its model away
        if isinstance(self.part, LinearMap):
            self.part.frozen = frozen.to(self.device)
        self.trained = torch.from_numpy(data.examples.trained)
        self.popular = settings.popularity * torch.from_numpy(data.examples.shares).log()

    @property
    def learns(self) -> bool:
        """Whether there is something to be tuned, and a log that says enough."""
        return self.settings.tune != "none" and not self.data_of(TextData).without

    def configure_model(self) -> None:
        """Take the model that is tuned, once; FSDP2 then shares its layers out."""
        settings = self.settings
        if self.part is not None or not self.learns:
            return
        data = self.data_of(TextData)
        adapter = {"r": settings.rank, "lora_dropout": settings.dropout}
        adapter["lora_alpha"] = settings.alpha or 2 * settings.rank
        adapter["target_modules"] = settings.targets
        how = data.encoder, data.examples.texts, settings.tune, settings.layers, adapter
        self.part = Layers(*how, settings.gradient_checkpointing)
        self._learned = [name for name, each in self.named_parameters() if each.requires_grad]
        strategy = self.trainer.strategy
        if isinstance(strategy, ModelParallelStrategy) and present_share().world > 1:
            layers = [each for each in self.modules() if getattr(each, "sharded", False)]
            for each in (*layers, self):
                fully_shard(each, mesh=strategy.device_mesh["data_parallel"])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss and log its mean over the epoch."""
        assert self.part is not None
        if batch_index == 0:  # the module has come to its device
            self.trained, self.popular = (x.to(self.device) for x in (self.trained, self.popular))
        if batch_index == 0 and not self.part.exact:
            # Validation has computed them where training continues.
            vectors = self() if self._latest is None else self._latest
            vectors, self._latest = vectors[self.trained], None
            self.centre, self.bank = vectors.mean(0), unit_vectors(vectors)
        loss, size = self(batch), len(batch["text"])
        self.log("train/loss", loss, batch_size=size, on_step=False, on_epoch=True, sync_dist=True)
        return loss * part_of_all(torch.tensor(float(size), device=self.device))

    def forward(self, batch: Batch | None = None) -> Tensor:
        """The loss of a batch; without one, the vectors of all texts.

        FSDP gathers weights where this is called, and where a step is.
        """
        return self.vectors() if batch is None else self.loss(batch)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch's texts over all that are trained on, a scalar."""
        assert self.part is not None
        text = batch["text"]
        if self.part.exact:
            table = unit_vectors(self.part(self.trained))
            units = table[text]
        else:
            vectors = self.part(self.trained[text]).float()
            units = normalize(vectors - self.centre, dim=1)
            # All but those of all processes' batches are as they were when they were last computed.
            table = self.bank.index_copy(0, of_all(text), of_all(units))
            self.bank = table.detach()
        scores = (units @ table.T).float() * self.sharpness.float().exp() + self.popular
        scores = scores.scatter(1, text[:, None], -torch.inf)
        agreement = scores[batch["entry"], batch["near"]] * batch["share"]
        loss: Tensor = (scores.logsumexp(dim=1).sum() - agreement.sum()) / len(text)
        return loss

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """The vectors of all texts as they are now, (D + 1, V); row 0 zero.

        Each process computes a share, as many as the others.
        """
        assert self.part is not None
        count, training = len(self.data_of(TextData).examples.texts), self.part.training
        rank, world = present_share()
        numbers = torch.arange(rank, rank + -(-count // world) * world, world) % count + 1
        self.part.eval()
        blocks = [self.part(some).float() for some in numbers.to(self.device).split(MANY)]
        self.part.train(training)
        shares = of_all(torch.cat(blocks)).unflatten(0, (world, -1))
        vectors = shares.transpose(0, 1).flatten(0, 1)[:count]
        return torch.cat([torch.zeros_like(vectors[:1]), vectors])

    def recalled(self, units: Tensor, batch: Batch) -> Tensor:
        """Whether the text chosen is among the ten of those held out that a history asks for.

        :param units: (D + 1, V), centred.
        :returns: (B,) bool.
        """
        data, histories = self.data_of(TextData), batch["histories"]
        ages = torch.arange(histories.shape[1] - 1, -1, -1, device=histories.device)
        loudness = (data.decay**ages).float().expand(histories.shape).contiguous()
        sought = embedding_bag(
            histories, units, per_sample_weights=loudness, mode="sum", padding_idx=0
        )
        held = torch.from_numpy(data.examples.held_out).to(units.device)
        scores = sought @ units[held].T
        # A column more takes what is in the history and not held out.
        place = torch.full((len(units),), len(held), device=units.device)
        place[held] = torch.arange(len(held), device=units.device)
        scores = torch.cat([scores, scores[:, :1]], 1).scatter(1, place[histories], -torch.inf)
        chosen = scores.gather(1, batch["chosen"][:, None])
        return (scores[:, : len(held)] > chosen).sum(dim=1) < RECALLED

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Look for held-out texts among each other, by vectors computed once for all batches."""
        if batch_index == 0:
            self._latest = self()
            self._table, self._hits = unit_vectors(self._latest), []
        self._hits.append(self.recalled(self._table, batch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is learned, and not the model beside it."""
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in self._learned if name in state}

    def on_validation_epoch_end(self) -> None:
        """Log the share that was found; all processes have found the same."""
        self.log(self.monitor, torch.cat(self._hits).float().mean(), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; the temperature learns faster, and does not decay."""
        settings = self.settings
        rate = settings.learning_rate or getattr(self.part, "learning_rate", 1e-3)
        groups = [] if self.part is None else self.part.groups(rate)
        groups.append({"params": [self.sharpness], "lr": SHARPNESS_RATE, "weight_decay": 0.0})
        decay = settings.weight_decay
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=self.fused)
        return self.scheduled(optimizer, warm_cosine)

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write the tuned encoder where it ranks better than the frozen one, and what each does."""
        data, part = self.data_of(TextData), self.part
        if self.learns:  # Lightning has brought it to the CPU
            self.to(data.encoder.device)
        reason = "The recipe says `tune: none`." if self.settings.tune == "none" else data.without
        metrics, said = dict[str, float](), dict[str, object]()
        if part is not None and not reason:
            vectors = {"frozen": data.text_vectors, "tuned": self.vectors().cpu()}
            shares = dict[str, float]()
            for name, table in vectors.items():
                units, events = unit_vectors(table.to(self.device)), data.val_dataloader()
                batches = ({n: x.to(self.device) for n, x in batch.items()} for batch in events)
                hits = torch.cat([self.recalled(units, batch) for batch in batches])
                shares[name] = float(hits.float().mean())
            examples = data.examples
            means, gain = compared(examples.validation, examples.follows, vectors, data.decay)
            metrics = {f"text/{name}/recall@10": share for name, share in shares.items()}
            metrics |= {f"text/{name}/ndcg@10": mean for name, mean in means.items()}
            key = "text/tuned-minus-frozen/ndcg@10"
            metrics |= zip((key, f"{key}/low", f"{key}/high"), gain, strict=True)
            gained = f"{gain.mean:+.4f}, 95 % interval {gain.low:+.4f} to {gain.high:+.4f}"
            said = {HELD_OUT: ", ".join(f"{name} {n:.3f}" for name, n in shares.items())}
            ranked = ", ".join(f"{name} {n:.4f}" for name, n in means.items())
            said[RANKED] = f"{ranked} ({gained})"
            if gain.low <= 0:
                reason = (
                    "What was learned does not rank clearly better at validation events "
                    f"({gained})."
                )
        if part is not None and not reason:
            part.save(data.encoder, folder, {"tuned": self.settings.tune, **said})
        else:
            noted = {"left as it is": reason, **said}
            (folder / TUNED).write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
        print(reason or f"{RANKED}: {said[RANKED]}.", file=sys.stderr)
        return metrics
