"""User models beside the temperature-calibrated ranker, on the same sets of real logs.

Also writes the MIND sample's impressions as a canonical log.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import polars as pl
import torch

from lightrec.data.log import InteractionLog
from lightrec.data.store import TEST, VALIDATION
from lightrec.keys import Column, Key
from lightrec.ranking.blend import Blend
from lightrec.ranking.ranker import Ranker
from lightrec.users.assessment import NEVER, fit_temperature, tempered
from lightrec.users.choice_data import ChoiceData

LEAST_READ = 5
READ = 50
"""Steps of a history that the ranker reads, as in its recipe."""


def mind(folder: Path, to: Path) -> tuple[Path, Path]:
    """Write ``log.parquet`` and ``items.parquet``: each click among what was shown and not clicked.

    What a user had read before the first impression becomes history without candidates; articles
    that are nowhere shown and were read by fewer than five are left out of it.

    :param folder: with ``behaviors.tsv`` and ``news.tsv``.
    """
    columns = ["impression", "user", "time", "history", "shown"]
    options = {"separator": "\t", "quote_char": None, "has_header": False}
    rows = pl.read_csv(folder / "behaviors.tsv", new_columns=columns, **options)
    events, met = [], set()
    parsed = rows.with_columns(
        pl.col("time").str.to_datetime("%m/%d/%Y %I:%M:%S %p", time_zone="UTC")
    ).sort("time", "impression")
    read = Counter(item for history in parsed["history"] for item in (history or "").split())
    offered = {entry.rsplit("-", 1)[0] for shown in parsed["shown"] for entry in shown.split()}
    for impression, user, time, history, shown in parsed.iter_rows():
        if user not in met:
            met.add(user)
            words = (history or "").split()
            past = [item for item in words if item in offered or read[item] >= LEAST_READ]
            for age, item in enumerate(past):
                before = time - timedelta(seconds=len(past) - age)
                events.append((user, item, before, None, []))
        pairs = [entry.rsplit("-", 1) for entry in shown.split()]
        passed = list(dict.fromkeys(item for item, label in pairs if label == "0"))
        clicked = dict.fromkeys(item for item, label in pairs if label == "1")
        for place, item in enumerate(clicked):
            others = [other for other in passed if other != item]
            moment = time + timedelta(milliseconds=place)
            events.append((user, item, moment, str(impression), [item, *others]))
    head = [Column.USER, Column.ITEM, Column.TIME, Column.IMPRESSION, Column.CANDIDATES]
    kinds = [pl.String, pl.String, pl.Datetime("ms", "UTC"), pl.String, pl.List(pl.String)]
    schema = dict(zip(head, kinds, strict=True))
    log = InteractionLog(pl.DataFrame(events, schema=schema, orient="row"))
    log.write_parquet(to / "log.parquet")
    names = ["item", "category", "subcategory", "title", "abstract", "url", "in_title", "in_text"]
    news = pl.read_csv(folder / "news.tsv", new_columns=names, **options)
    news.select("item", "title", "category", "subcategory", "abstract").write_parquet(
        to / "items.parquet"
    )
    return to / "log.parquet", to / "items.parquet"


@torch.no_grad()
def scored(run: Path, data: ChoiceData, part: int, which: str) -> tuple[torch.Tensor, ...]:
    """Give the ranker's scores of a part's sets (R, C), with what was chosen and the weights.

    :param which: ``blend``, the whole blend, or ``ranker``, its transformer alone.
    """
    blend = Blend.load(run / "ranker")
    model = blend if which == "blend" else Ranker.from_pretrained(run / "ranker").eval()
    store, found = data.store, []
    for request in data.batches(part, limit=data.max_evaluated).sampler:
        batch, events = data.sets[request], request[1]
        sets = batch[Key.CANDIDATES]
        history = store.histories(store.users_of(events), events, READ)
        # Declined slates enter histories as N + 1, which the ranker does not know.
        history[history > store.num_items] = 0
        rows = torch.cat([model.scores(h) for h in torch.from_numpy(history).split(256)])
        rows = rows.repeat(len(sets) // len(rows), 1).gather(1, sets)
        scores = rows.masked_fill(sets == 0, -torch.inf)
        found.append((scores, batch[Key.CHOICE], batch[Key.WEIGHT]))
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def calibrated_ranker(run: Path, data: ChoiceData, which: str) -> dict[str, float]:
    """Held-out likelihood of the ranker's scores, calibrated on validation choices."""
    parts = {part: scored(run, data, part, which) for part in (VALIDATION, TEST)}
    values = fit_temperature(*parts[VALIDATION])
    scores, choice, weight = parts[TEST]
    if values[1] == NEVER:  # nothing is no alternative
        log_p = (scores.double() / values[0]).log_softmax(1)
    else:
        log_p = tempered(scores.double(), *(torch.tensor(v).double() for v in values))
    told = log_p.gather(1, choice[:, None]).squeeze(1)
    mean = (weight * told).sum() / weight.sum()
    return {f"{which}/log_likelihood": float(mean), f"{which}/temperature": values[0]}


def beside(run: Path, stage: str, settings: dict) -> dict[str, float]:
    """Compare with the ranker on a stage's own sets, both ways of scoring."""
    data = ChoiceData(str(run / "data"), **settings)
    found: dict[str, float] = {}
    for which in ("blend", "ranker"):
        found |= calibrated_ranker(run, data, which)
    return {f"{stage}/{key}": value for key, value in found.items()}
