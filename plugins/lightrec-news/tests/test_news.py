"""The made-up site, what is learned from it, and what must not be shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_news.domain import DAY, SHOWN, NewsDomain
from lightrec_news.evaluator import TopicsAndAge, _measures
from lightrec_news.reward import ReadingReward

from lightrec.__main__ import main
from lightrec.data.domain import showable
from lightrec.data.prepare import prepare
from lightrec.data.readers.canonical import CanonicalReader
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.baselines import RandomPolicy
from lightrec.rewards.accepted import ValueReward
from lightrec.run import Run
from lightrec.testing import tiny
from lightrec.testing.truth import recovered

QUICK = ["--until", "ranker", "--ranker.trainer.max_epochs", "0"]
QUICK += ["--values.text_encoder", "WordEncoder", "--text.model.init_args.tune", "none"]
QUICK += ["--ranker.model.init_args.item_models", "[Popularity, RecentPopularity, WordNeighbours]"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return NewsDomain().synthetic(tmp_path_factory.mktemp("site"), seed=3)


def test_what_is_chosen_stands_in_its_place(site: Path) -> None:
    log = pl.read_parquet(site / "log.parquet")
    place = log["candidates"].list.get(log["position"] - 1)
    assert place.to_list() == log["item"].to_list()
    assert log["candidates"].list.n_unique().min() == SHOWN
    items = pl.read_parquet(site / "catalog.parquet")
    ages = log.join(items, on="item").select(pl.col("time") - pl.col("created")).to_series()
    assert ages.min() >= timedelta(seconds=-1)
    assert ages.max() <= timedelta(days=2, seconds=1)


def test_the_place_counts_as_one_over_it(site: Path) -> None:
    """The conditional likelihood of the known law is highest near the exponent 1."""
    log = pl.read_parquet(site / "log.parquet")
    items = pl.read_parquet(site / "catalog.parquet")
    created = dict(zip(items["item"], items["created"].dt.epoch("s"), strict=True))
    truth = pl.read_parquet(site / "truth.parquet")
    names = {name: row for row, name in enumerate(items["item"])}
    users = {name: row for row, name in enumerate(truth["user"].unique(maintain_order=True))}
    appeal = truth["appeal"].to_numpy().reshape(len(users), len(names))
    shown = np.array([[names[i] for i in row] for row in log["candidates"].to_list()])
    rows = np.array([users[user] for user in log["user"]])[:, None]
    ages = (
        log["time"].dt.epoch("s").to_numpy()[:, None]
        - np.array([created[name] for name in items["item"]])[shown]
    )
    pull = appeal[rows, shown] - 2 * np.log(2) * ages / DAY
    chosen = log["position"].to_numpy() - 1

    def likelihood(exponent: float) -> float:
        logits = pull - exponent * np.log(np.arange(1, SHOWN + 1))
        norm = np.log(np.exp(logits).sum(1))
        return float((logits[np.arange(len(chosen)), chosen] - norm).mean())

    tried = [0.0, 0.5, 0.9, 1.0, 1.1, 1.5]
    best = max(tried, key=likelihood)
    assert best in (0.9, 1.0, 1.1)
    assert likelihood(best) > likelihood(0.0) + 0.1


def test_taste_is_found(site: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    log = ["--log", str(site)]
    assert main(["run", "news", *log, "--out", str(run), *QUICK]) == 0
    found = recovered(run, site)
    assert found["blend"] > found["popularity"] + 0.05
    metrics = TopicsAndAge().evaluate(Run(run), 0).metrics
    assert 1 <= metrics["news/blend/topics"] <= 8
    assert 0 < metrics["news/read/age_hours"] < metrics["news/blend/age_hours"] <= 48


def test_nothing_dead_is_drawn(site: Path, tmp_path: Path) -> None:
    """A million draws of a random policy: each article appeared within the last two days."""
    tables = CanonicalReader().read(site)
    store = prepare(
        tables.log, tmp_path / "data", catalog=tables.catalog, domain=NewsDomain(), seed=0
    )
    torch.manual_seed(0)
    allowed = showable(store)
    policy, users = RandomPolicy(store.num_items), torch.arange(store.num_users)
    mask = allowed(users)
    assert mask is not None
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1]
    drawn = 0
    while drawn < 1_000_000:
        state = session_start(torch.zeros(len(users), 1, dtype=torch.int64), users)
        slate = policy.act(state | {Key.MASK: mask}, 10, deterministic=False)[Key.ACTION].numpy()
        rows, places = np.nonzero(slate)
        ages = now[rows] - store.first_seen[slate[rows, places] - 1]
        assert (ages <= 2 * DAY * 1000).all()
        drawn += slate.size


def test_chinese_titles(tmp_path: Path) -> None:
    kinds = {"体育": ("球队", "联赛", "教练"), "财经": ("股市", "利率", "银行")}
    chance, start = np.random.default_rng(0), datetime(2024, 5, 1, tzinfo=UTC)
    articles = ["编号,标题,类别,created"]
    for number in range(60):
        kind = [*kinds][number % 2]
        one, other = chance.choice(kinds[kind], 2, replace=False)
        day = start + timedelta(hours=2 * number)
        articles.append(f"a{number},{one}今天谈{other}第{number}期,{kind},{day:%F %T}")
    clicks = ["用户,商品,时间"]
    for user in range(40):
        for number in range(user % 2, 60, 2):
            if chance.random() < 0.5:
                continue
            time = start + timedelta(hours=2 * number + 1, minutes=user)
            clicks.append(f"u{user},a{number},{time:%F %T}")
    (tmp_path / "日志.csv").write_text("\n".join(clicks) + "\n", encoding="utf-8")
    (tmp_path / "新闻.csv").write_text("\n".join(articles) + "\n", encoding="utf-8")
    files = ["--log", str(tmp_path / "日志.csv"), "--items", str(tmp_path / "新闻.csv")]
    files += ["--item-columns", "{item: 编号, title: 标题}"]
    assert main(["run", "news", *files, "--out", str(tmp_path / "run"), *QUICK]) == 0
    run = Run(tmp_path / "run")
    liked = run.data.catalog["类别"][int(run.data.items[-1]) - 1]
    scores = run.blend.item_model("WordNeighbours").scores(torch.tensor([[run.data.items[-1]]]))
    best = int(scores[0, 1:].argsort(descending=True)[1])
    assert run.data.catalog["类别"][best] == liked


def test_reading_is_dwell_over_length() -> None:
    context = tiny.kit_context()
    words = context.item_attribute("price").cast(pl.Float64)
    reading, dwell = ReadingReward("price", words_a_second=1e-3), ValueReward()
    for reward in (reading, dwell):
        reward.bind(context)
    slate = torch.tensor([[1, 2], [2, 3], [4, 0]])
    taken = torch.tensor([[True, False], [False, True], [False, False]])
    state = session_start(torch.tensor([[0, 2], [1, 2], [3, 4]]), torch.arange(3))
    state |= {Key.ACTION: slate, Key.TAKEN: taken}
    from tensordict import TensorDict

    transition = TensorDict(state, [3])
    seconds = torch.tensor([words[0], words[2], 1.0]) / 1e-3
    expected = (dwell(transition).squeeze(1) / seconds).clamp(0, 1)
    assert reading(transition).squeeze(1).tolist() == pytest.approx(expected.tolist())


def test_topics_diversity_and_age_of_known_lists() -> None:
    """Topics a a b: two topics, and two pairs of three differ. The fourth place is empty."""
    hour = 3_600_000
    store = SimpleNamespace(
        has_times=True, times=[10 * hour], first_seen=np.array([9, 7, 4]) * hour
    )
    lists, topics = np.array([[1, 2, 3, 0]]), np.array([-1, 0, 0, 1])
    found = _measures("x", lists, store, np.array([0]), topics)  # type: ignore[arg-type]
    assert found == pytest.approx(
        {"x/empty": 1.0, "x/topics": 2.0, "x/diversity": 2 / 3, "x/age_hours": 3.0}
    )


def test_texts() -> None:
    items = pl.DataFrame({"item": ["1"], "title": ["A"], "abstract": [None], "topic": ["football"]})
    assert NewsDomain().text(items).to_list() == ["A. football"]
    assert NewsDomain().text(items.select("item")).to_list() == [""]
