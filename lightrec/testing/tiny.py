"""Small things to try parts on, all made from seeds: logs, models, and a whole run.

Torch and transformers are imported where they are needed: a log needs neither.
"""

import atexit
import contextlib
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from lightrec.data.catalog import Catalog
    from lightrec.data.log import InteractionLog
    from lightrec.data.store import EventStore
    from lightrec.policies.base import Policy
    from lightrec.ranking.ranker import Ranker
    from lightrec.rewards.base import Reward, RewardContext
    from lightrec.simulators.user_model import LogStarts
    from lightrec.users.choice_model import PooledChoice
    from lightrec.users.parts import ValueModel
    from lightrec.users.user_model import UserModel

USERS: Final = 60
ITEMS: Final = 48
GROUPS: Final = 4
STEPS: Final = 10
KINDS: Final = ("tea", "rope", "lamp", "song")

NUM_ITEMS: Final = 12
VECTOR_SIZE: Final = 3
HISTORY_LENGTH: Final = 5

FAST: Final = {
    "data": ["--k_core", "1"],
    "ranker": [
        "--trainer.max_epochs=3",
        "--model.init_args.size=16",
        "--model.init_args.tower.init_args.layers=1",
        "--data.init_args.text_encoder=null",
    ],
    "users_a": ["--trainer.max_epochs=2"],
    "users_b": [
        "--trainer.max_epochs=2",
        "--data.init_args.text_encoder=null",
        "--data.init_args.cooccurrence_size=8",
    ],
    "policy": [
        "--trainer.max_epochs=2",
        "--model.init_args.sessions=32",
        "--model.init_args.steps=5",
        "--data.init_args.iterations=1",
    ],
}
"""Settings with which a run over the tiny log takes seconds."""


def write_log(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write ``log.csv`` and ``items.csv`` as a newcomer would have them.

    60 users walk through one of four groups of 12 items each, in order, so that there is a pattern
    to learn.

    :param folder: an existing folder.
    :returns: the two files.
    """
    lines = ["customer,sku,date"]
    lines += [f"{user},{item},{time}" for user, item, time in _events(seed)]
    items = ["sku,title,kind", *map(",".join, _items())]
    log, table = folder / "log.csv", folder / "items.csv"
    log.write_text("\n".join(lines) + "\n")
    table.write_text("\n".join(items) + "\n")
    return log, table


def tiny_log(seed: int = 0) -> "InteractionLog":
    """Make the log of :func:`write_log`: 600 events of user, item and time."""
    import polars as pl

    from lightrec.data.log import InteractionLog
    from lightrec.keys import Column

    names = [Column.USER, Column.ITEM, Column.TIME]
    return InteractionLog(pl.DataFrame(_events(seed), schema=names, orient="row"))


def tiny_catalog() -> "Catalog":
    """Make the catalog of :func:`write_log`: 48 items with a title and the attribute ``kind``."""
    import polars as pl

    from lightrec.data.catalog import Catalog
    from lightrec.keys import Column

    names = [Column.ITEM, Column.TITLE, "kind"]
    return Catalog(pl.DataFrame(_items(), schema=names, orient="row"))


def tiny_store(folder: Path) -> "EventStore":
    """Prepare the tiny log, split by leave-one-out.

    :param folder: where the store is written.
    """
    from lightrec.data.domain import Domain
    from lightrec.data.prepare import prepare

    return prepare(
        tiny_log(),
        folder,
        catalog=tiny_catalog(),
        domain=Domain(),
        minimum_value=None,
        k_core=0,
        split="leave-one-out",
        equal_times="file",
        seed=0,
    )


def tiny_text_model(folder: Path) -> Path:
    """Write a transformer of random weights and 13 words, for ``TextEncoder(str(folder))``.

    :param folder: an existing folder.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += ["a", "red", "lamp", "tea", "rope", "song", "of", "and"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=32)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).half().save_pretrained(folder)
    return folder


def tiny_choice_model(num_items: int = NUM_ITEMS, seed: int = 0) -> "PooledChoice":
    """Make a model of choices of random weights, whose users look ahead."""
    import torch

    from lightrec.users.choice_model import PooledChoice

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PooledChoice(num_items, VECTOR_SIZE, HISTORY_LENGTH, discount=0.8, leave_rate=0.1)
        model.set_items(torch.randn(num_items + 1, VECTOR_SIZE))
        torch.nn.init.normal_(model.bias)
    return model.eval()


def tiny_ranker(num_items: int = NUM_ITEMS) -> "Ranker":
    """Make a ranker of random weights."""
    import torch

    from lightrec.ranking.ranker import Ranker

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Ranker(num_items, size=8).eval()


def tiny_policy() -> "Policy":
    """Make a policy that shows what a ranker of random weights puts first."""
    from lightrec.policies.baselines import GreedyRankerPolicy

    return GreedyRankerPolicy(tiny_ranker())


def tiny_user_model(
    num_items: int = NUM_ITEMS, seed: int = 0, members: int = 1, whole: bool = False
) -> "UserModel":
    """Make a user model of random weights.

    :param members: how many models of choices it has, the first of them made by ``seed``.
    :param whole: whether it also says how users leave, what things are worth and when users return.
    """
    from lightrec.users.user_model import UserModel

    models = [tiny_choice_model(num_items, seed + number) for number in range(members)]
    parts: dict[str, Any] = {}
    if whole:
        parts = {**tiny_endings(models[0], seed), "valuing": tiny_values(models[0], seed)}
    return UserModel(models, **parts).eval()


def tiny_values(choice: "PooledChoice", seed: int = 0) -> "ValueModel":
    """Make a model of random values of what users of a choice model choose."""
    import torch

    from lightrec.users.parts import ValueModel

    features, _ = choice.item_features()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ValueModel(choice.state_size, features.shape[1], choice.num_items)
        torch.nn.init.normal_(model.levels.weight)
    return model.eval()


def tiny_endings(choice: "PooledChoice", seed: int = 0) -> "dict[str, Any]":
    """Make models of random weights of when users of a choice model leave and return."""
    import torch

    from lightrec.users.parts import LeavingModel, ReturnModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        leaving = LeavingModel(choice.state_size)
        returning = ReturnModel(choice.state_size)
        for part in (leaving, returning):
            torch.nn.init.normal_(part.linear.weight, std=0.1)
    torch.nn.init.constant_(returning.linear.bias, 12.0)
    return {"leaving": leaving.eval(), "returning": returning.eval()}


def tiny_reward() -> "Reward":
    """Make a reward without settings, for rewards that are made of others."""
    from lightrec.rewards.accepted import EngagementReward

    return EngagementReward()


def tiny_context() -> "RewardContext":
    """What a run lets its rewards know: an ensemble of users with all their parts, and a log.

    Users choose among 12 items, and the log's tables have 48 of them.
    """
    from lightrec.data.store import EventStore
    from lightrec.rewards.base import RewardContext

    users = tiny_user_model(members=2, whole=True)
    return RewardContext(users, EventStore.open(_context_data()))


@cache
def _context_data() -> Path:
    """Write the log once a process, into a folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="lightrec-testing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()):
        tiny_store(folder / "data")
    return folder / "data"


def tiny_starts(num_items: int = NUM_ITEMS, seed: int = 0) -> "LogStarts":
    """Make start states: four users whose logs hold 0 to 3 items."""
    import torch

    from lightrec.simulators.user_model import LogStarts

    counts = torch.tensor([0, 0, 1, 2, 3])
    generator = torch.Generator().manual_seed(seed)
    items = torch.randperm(num_items, generator=generator)[: counts.sum()] + 1
    return LogStarts(counts.cumsum(0), items)


def tiny_run(folder: Path) -> Path:
    """Make a whole run over the tiny log; it takes half a minute on one thread.

    :param folder: an existing folder.
    :returns: the run folder in it.
    """
    from lightrec.stages.run import run

    log, items = write_log(folder)
    return run("generic", out=folder / "tiny", log=log, items=items, overrides=FAST)


def _events(seed: int) -> list[tuple[str, str, str]]:
    generator = np.random.default_rng(seed)
    size = ITEMS // GROUPS
    events = []
    for user in range(USERS):
        group, place = user % GROUPS, int(generator.integers(size))
        for step in range(STEPS):
            item = group * size + (place + step) % size
            events.append((f"u{user}", f"i{item}", f"2024-01-{step + 1:02d}T12:00:00"))
    return events


def _items() -> list[tuple[str, str, str]]:
    size = ITEMS // GROUPS
    kinds = [KINDS[item // size] for item in range(ITEMS)]
    return [(f"i{i}", f"{kind} number {i % size}", kind) for i, kind in enumerate(kinds)]
