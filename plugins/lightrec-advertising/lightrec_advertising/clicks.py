"""A click model that crosses features, and the stage that trains it on a log of impressions."""

import copy
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lightrec.api import PADDING, Column, EventStore, Run, Stage
from lightrec.calibration import GROUPS, measured, reliability
from lightrec.data.files import RELIABILITY
from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.nn.part import Part
from lightrec.run import METRICS

RARE = 20
"""A value with fewer training rows counts as unknown."""


class Coding:
    """Turns a table into codes: categories by value, numbers by their place among eight groups.

    :param rows: what the codes are fitted to. Lists and other nested columns are left out.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.values: dict[str, list[Any]] = {}
        """Bounds of the groups of a number; of another column its values by name."""
        for column in rows:
            if column.dtype.is_numeric() and column.n_unique() > 8:
                bounds = [column.quantile(share / 8) for share in range(1, 8)]
                self.values[column.name] = sorted({float(b) for b in bounds if b is not None})
            elif not (column.dtype.is_nested() or column.dtype.is_temporal()):
                counts = column.cast(pl.String).drop_nulls().value_counts()
                kept = counts.filter(pl.col("count") >= RARE).sort(column.name)
                self.values[column.name] = kept[column.name].to_list()

    @property
    def sizes(self) -> list[int]:
        """How many codes each column has."""
        return [len(values) + 2 for values in self.values.values()]

    def __call__(self, rows: pl.DataFrame) -> Tensor:
        """Codes (R, F) int64; 0 stands for what is unknown."""
        columns = []
        for name, values in self.values.items():
            column = rows[name]
            if values and isinstance(values[0], float):
                numbers = column.cast(pl.Float64).to_numpy()
                codes = np.where(np.isnan(numbers), 0, np.searchsorted(values, numbers) + 1)
            else:
                known = range(1, len(values) + 1)
                codes = column.cast(pl.String).replace_strict(values, known, default=0).to_numpy()
            columns.append(torch.from_numpy(codes.astype(np.int64)))
        return torch.stack(columns, 1)


class ClickModel(Part):
    """The cross network of DCN-v2 (Wang et al. 2021), without a deep part: codes to click logits.

    x₀ holds the features' embeddings side by side, and x_{l+1} = x₀ ⊙ (W x_l + b) + x_l: each layer
    raises the degree of the crosses by one. Without layers it is a logistic regression.

    :param sizes: how many codes each feature has.
    :param size: length of a feature's embedding.
    :param crosses: number of layers.
    """

    offsets: Tensor
    """(F,) int64: where each feature's codes begin in the table of embeddings."""

    def __init__(self, sizes: list[int], size: int = 4, crosses: int = 2) -> None:
        super().__init__()
        width = len(sizes) * size
        self.register_buffer("offsets", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)
        self.embedding = nn.Embedding(sum(sizes), size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.crosses = nn.ModuleList(nn.Linear(width, width) for _ in range(crosses))
        self.out = nn.Linear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits (R,): high means that the ad is clicked.

        :param codes: (R, F) int64, see :class:`Coding`.
        """
        first = self.embedding(codes + self.offsets).flatten(1)
        x = first
        for layer in self.crosses:
            x = first * layer(x) + x
        logits: Tensor = self.out(x).squeeze(1)
        return logits

    @torch.no_grad()
    def predict(self, codes: Tensor) -> Tensor:
        """The probabilities (R,) float64 of a click."""
        probabilities: Tensor = self(codes).sigmoid().double()
        return probabilities


def fit_clicks(
    codes: Sequence[Tensor],
    clicks: Sequence[Tensor],
    sizes: list[int],
    *,
    crosses: int = 2,
    size: int = 4,
    epochs: int = 20,
    seed: int = 0,
) -> ClickModel:
    """Fit a click model by log-loss, and keep the epoch with the lowest one on validation rows.

    Training stops after two epochs without a lower one.

    :param codes: of the training and the validation rows, each (R, F).
    :param clicks: of the same rows, each (R,) float32, 0 or 1.
    :param seed: of the first weights and of the order of rows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClickModel(sizes, size, crosses)
        nn.init.constant_(model.out.bias, float(clicks[0].mean().clamp(1e-4, 1 - 1e-4).logit()))
        optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=1e-3)
        best, lowest, since = model.state_dict(), float("inf"), 0
        for _ in range(epochs):
            for rows in torch.randperm(len(codes[0])).split(512):
                loss = binary_cross_entropy_with_logits(model(codes[0][rows]), clicks[0][rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                held_out = float(binary_cross_entropy_with_logits(model(codes[1]), clicks[1]))
            since += 1
            if held_out < lowest:
                best, lowest, since = copy.deepcopy(model.state_dict()), held_out, 0
            if since == 2:
                break
    model.load_state_dict(best)
    return model.eval()


def offers(store: EventStore) -> dict[int, tuple[pl.DataFrame, Tensor]]:
    """A row for each ad that was offered, with whether it was taken, by part of the log.

    Columns are the attributes of users (``user age``) and ads (``ad bid``) and the ad itself.

    :param store: a log with candidates.
    """
    assert store.candidates is not None
    items = store.catalog.drop(Column.TITLE, Column.TEXT).rename(lambda name: f"ad {name}")
    users = store.users.drop(Column.USER).rename(lambda name: f"user {name}")
    tables = {}
    for part in (TRAIN, VALIDATION, TEST):
        events = store.events(part)
        offered = np.asarray(store.candidates)[events]
        rows, places = np.nonzero(offered != PADDING)
        shown = offered[rows, places]
        clicked = shown == np.asarray(store.items)[events][rows]
        people = users[store.users_of(events)[rows]] if users.width else pl.DataFrame()
        table = pl.concat([items[shown - 1], people], how="horizontal")
        tables[part] = table, torch.from_numpy(clicked.astype(np.float32))
    return tables


def learn_clicks(
    stage: Stage, crosses: int = 2, size: int = 4, epochs: int = 20, seed: int = 0
) -> None:
    """Train the click model, and beside it a logistic regression, and measure both on test offers.

    In a log without candidates it trains nothing, and says so.

    :param crosses: as for :class:`ClickModel`, and so is ``size``.
    :param epochs: at most so many.
    :param seed: of training.
    """
    stage.prepare_work()
    run = Run(stage.run)
    run.check(*stage.inputs)
    if run.data.candidates is None:
        print("The log does not say what was shown, and there is no click model.", file=sys.stderr)
        with stage.output(seed) as folder:
            (folder / METRICS).write_text("{}")
        return
    rows = offers(run.data.without_cold)
    coding = Coding(rows[TRAIN][0])
    codes = [coding(table) for table, _ in rows.values()]
    clicks = [clicked for _, clicked in rows.values()]
    truth = clicks[2]
    predicted = {"base": clicks[0].mean().expand(len(truth))}
    with stage.output(seed) as folder:
        for name, layers in (("logistic", 0), ("crossed", crosses)):
            model = fit_clicks(
                codes, clicks, coding.sizes, crosses=layers, size=size, epochs=epochs, seed=seed
            )
            predicted[name] = model.predict(codes[2])
        metrics = {"clicks/rows": float(len(truth)), "clicks/rate": float(truth.mean())}
        for name, p in predicted.items():
            metrics |= {f"clicks/{name}/{key}": n for key, n in measured(p, truth).items()}
        counts = reliability(predicted["crossed"], truth, groups=GROUPS)
        (folder / RELIABILITY).write_text(json.dumps(counts.tolist()))
        model.save_pretrained(folder)
        (folder / "coding.json").write_text(json.dumps(coding.values))
        (folder / METRICS).write_text(json.dumps(metrics, indent=2))
