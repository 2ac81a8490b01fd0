"""Small things to try parts on, all made from seeds: logs, models, and a whole run.

What takes long to import is imported where it is needed: most parts are tried without.
"""

import atexit
import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import torch

from lightrec import plugins
from lightrec.api import Catalog, Column, Domain, EventStore, Evidence, Ranker, UserModel, Users
from lightrec.data.files import appearing, cache_folder
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.data.readers.base import find_reader
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import LeavingModel, ReturnModel, ValueModel
from lightrec_testing.invariants import seeded

if TYPE_CHECKING:
    from lightrec.rewards.base import RewardContext
    from lightrec.simulators.user_model import LogStarts
    from lightrec.users.choice_data import ChoiceData

USERS: Final = 60
STEPS: Final = 10
KINDS: Final = ("tea", "rope", "lamp", "song")
SIZE: Final = 12
"""Items of each kind."""
ITEMS: Final = SIZE * len(KINDS)

KEPT: Final = 4
"""Runs of the kit that the cache keeps, the latest ones."""

NUM_ITEMS: Final = 12
VECTOR_SIZE: Final = 3
HISTORY_LENGTH: Final = 5

_LAYERS: Final = "--model.init_args.size=16 --model.init_args.tower.init_args.layers=1"
_NO_TEXTS: Final = "--data.init_args.text_encoder=null"
_PLAY: Final = "--model.init_args.sessions=32 --model.init_args.steps=5"
FAST: Final = {
    "values": ["--max_steps=6"],
    "data": ["--k_core", "1"],
    "text": ["--model.init_args.tune=none"],
    "ranker": f"--trainer.max_epochs=3 {_LAYERS} {_NO_TEXTS}".split(),
    "users_a": ["--trainer.max_epochs=2"],
    "users_b": f"--trainer.max_epochs=2 {_NO_TEXTS} --data.init_args.cooccurrence_size=8".split(),
    "policy": f"--trainer.max_epochs=2 {_PLAY} --data.init_args.iterations=1".split(),
}
"""Settings with which a run over the tiny log takes seconds."""


def write_log(folder: Path) -> tuple[Path, Path]:
    """Write ``log.csv`` and ``items.csv`` as a newcomer would have them.

    60 users walk in order through the 12 items of one of four kinds, a pattern to learn.

    :param folder: an existing folder.
    :returns: the two files.
    """
    log, table = folder / "log.csv", folder / "items.csv"
    _events(["customer", "sku", "date"]).write_csv(log)
    _items(["sku", "title", "kind"]).write_csv(table)
    return log, table


def tiny_store(folder: Path, domain: Domain | None = None) -> EventStore:
    """Prepare the log of :func:`write_log` in a folder, split by leave-one-out.

    Items also have a ``price`` and a ``year``, and users have ``age``, ``country`` and ``member``.
    """
    item, user = np.arange(ITEMS), np.arange(USERS)
    more = [pl.Series("price", 1.5 * item + 1), pl.Series("year", 1990 + item % 30)]
    people = {
        Column.USER: [f"u{number}" for number in user],
        "age": 8 + user,
        "country": [("fr", "jp", None)[number % 3] for number in user],
        "member": user % 2 == 0,
    }
    return prepare(
        InteractionLog(_events([Column.USER, Column.ITEM, Column.TIME])),
        folder,
        catalog=Catalog(_items([Column.ITEM, Column.TITLE, "kind"]).with_columns(more)),
        users=Users(pl.DataFrame(people)),
        domain=domain or Domain(),
        k_core=0,
        seed=0,
    )


def tiny_text_model(folder: Path, layers: int = 2) -> Path:
    """Write a transformer of random weights and 13 words, for ``TextEncoder(str(folder))``."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += ["a", "red", "lamp", "tea", "rope", "song", "of", "and"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=32)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=12,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    with seeded(0):
        BertModel(config).half().save_pretrained(folder)
    return folder


def tiny_ranker() -> Ranker:
    """Make a ranker of random weights."""
    with seeded(0):
        return Ranker(NUM_ITEMS, size=8).eval()


def tiny_choice_model(num_items: int = NUM_ITEMS, seed: int = 0) -> PooledChoice:
    """Make a model of choices of random weights, whose users look ahead."""
    with seeded(seed):
        model = PooledChoice(num_items, VECTOR_SIZE, HISTORY_LENGTH, discount=0.8, leave_rate=0.1)
        model.set_items(torch.randn(num_items + 1, VECTOR_SIZE))
        torch.nn.init.normal_(model.bias)
    return model.eval()


def tiny_user_model(num_items: int = NUM_ITEMS, members: int = 1, whole: bool = False) -> UserModel:
    """Make a user model of random weights.

    :param members: number of its choice models.
    :param whole: whether it also has models of leaving, return and value.
    """
    models = [tiny_choice_model(num_items, seed) for seed in range(members)]
    return UserModel(models, **(tiny_parts(models[0]) if whole else {})).eval()


def tiny_parts(choice: PooledChoice) -> dict[str, Any]:
    """Make models of random weights of leaving, return and value, for a choice model."""
    features, _ = choice.item_features()
    with seeded(0):
        leaving, returning = LeavingModel(choice.state_size), ReturnModel(choice.state_size)
        valuing = ValueModel(choice.state_size, features.shape[1], choice.num_items)
        for part in (leaving, returning):
            torch.nn.init.normal_(part.linear.weight, std=0.1)
        torch.nn.init.constant_(returning.linear.bias, 12.0)
        torch.nn.init.normal_(valuing.levels.weight)
    return {"leaving": leaving.eval(), "returning": returning.eval(), "valuing": valuing.eval()}


def tiny_starts(num_items: int = NUM_ITEMS) -> "LogStarts":
    """Make start states: four users whose logs hold 0 to 3 items."""
    from lightrec.simulators.user_model import LogStarts

    counts = torch.tensor([0, 0, 1, 2, 3])
    with seeded(0):
        items = torch.randperm(num_items)[: counts.sum()] + 1
    return LogStarts(counts.cumsum(0), items)


def tiny_run(folder: Path, until: str | None = None, **values: str) -> Path:
    """Make a run over the tiny log, in half a minute on one thread.

    :param folder: an existing folder, in which the run's folder is made.
    :param until: the last stage; None for a whole run.
    :param values: in place of those that the recipes share.
    """
    from lightrec.stages.run import run

    log, items = write_log(folder)
    shared = [*FAST["values"], *(f"--{name}={value}" for name, value in values.items())]
    out, settings = folder / "tiny", FAST | {"values": shared}
    return run("generic", out=out, log=log, items=items, overrides=settings, until=until)


def kit_context(domain: type[Domain] | None = None) -> "RewardContext":
    """Make what rewards are bound to: an ensemble of users with all parts, and the kit's store.

    Users choose among 12 items, and the tiny store has 48.
    """
    from lightrec.rewards.base import RewardContext

    store = kit_store(domain)  # type: ignore[arg-type]
    return RewardContext(tiny_user_model(members=2, whole=True), store)


def kit_evidence(domain: type[Domain] | None = None) -> Evidence:
    """Make what item models are fitted to: events of the kit's store, with synthetic vectors."""
    store = kit_store(domain)  # type: ignore[arg-type]
    with seeded(0):
        vectors = torch.randn(store.num_items + 1, VECTOR_SIZE)
    vectors[0] = 0
    return Evidence.of(store, vectors)


def kit_choices() -> "ChoiceData":
    """Make data of choices by P(i) ∝ exp r(i), and 1 for nothing, from sets of four of six items.

    An item's name is its reward r. Learners may change the batches: the data is new each time.
    """
    from lightrec.users.choice_data import ChoiceData

    return ChoiceData(str(_choices()), history_length=3)


@cache
def _choices() -> Path:
    chance, names = np.random.default_rng(0), ["1.6", "1.0", "0.4", "-0.2", "-0.8", "-1.4"]
    rows = []
    for user in range(USERS * 4):
        for step in range(6):
            offered = chance.permutation(len(names))[:4]
            worth = np.exp([float(names[item]) for item in offered] + [0.0])
            choice = chance.choice(5, p=worth / worth.sum())
            chosen = None if choice == 4 else names[offered[choice]]
            rows.append((f"u{user}", chosen, step, [names[item] for item in offered]))
    schema = [Column.USER, Column.ITEM, Column.TIME, Column.CANDIDATES]
    log = InteractionLog(pl.DataFrame(rows, schema=schema, orient="row"))
    with kit_folder("choices") as folder:
        prepare(log, folder / "data", domain=Domain(), repeats=True, k_core=0, seed=0)
        return folder / "data"


@cache
def kit_run() -> Path:
    """Folder of a tiny run up to its policy, of this process alone; ``Run(kit_run())`` opens it.

    The run is made where it was not made of the installed packages before, and kept in the cache.
    """
    mark = hashlib.sha256(torch.__version__.encode())
    for package in plugins.installed().packages:
        (root,) = [Path(f).parent for f in [import_module(package.module).__file__] if f]
        for file in sorted(root.rglob("*.py")):
            mark.update(file.read_bytes())
    kept = cache_folder() / "kit" / mark.hexdigest()[:32]
    with kit_folder("run") as folder:
        if not kept.is_dir():
            with appearing(kept) as new:  # no language model to load
                tiny_run(new, "policy", text_encoder="WordEncoder")
            for old in sorted(kept.parent.iterdir(), key=os.path.getmtime)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        return folder / "tiny"


@cache
def kit_store(domain: Any = None) -> EventStore:
    """A prepared log, once a process: the one that a domain makes up, or else the tiny log."""
    with kit_folder("store") as folder:
        (folder / "log").mkdir()
        kind = domain or Domain
        if (log := kind().synthetic(folder / "log", 0)) is None:
            return tiny_store(folder / "data", kind())
        tables = find_reader(log).read(log)
        parts: dict[str, Any] = {"catalog": tables.catalog, "users": tables.users}
        return prepare(tables.log, folder / "data", domain=kind(), k_core=0, seed=0, **parts)


def kit_sample(cls: Any) -> Any:
    """What a part's own class method ``sample`` gives."""
    with kit_folder(cls.__name__) as folder:
        return cls.sample(folder)


def supplies() -> dict[str, Callable[[], Any]]:
    """What gives constructors their required arguments, by the names of these."""
    from lightrec.policies.baselines import GreedyRankerPolicy
    from lightrec.rewards.accepted import EngagementReward

    return {
        "num_items": lambda: NUM_ITEMS,
        "vector_size": lambda: VECTOR_SIZE,
        "history_length": lambda: HISTORY_LENGTH,
        "batch_size": lambda: 4,
        "user_model": tiny_user_model,
        "starts": tiny_starts,
        "ranker": tiny_ranker,
        "policy": lambda: GreedyRankerPolicy(tiny_ranker()),
        "reward": EngagementReward,
        "parts": lambda: [EngagementReward(), EngagementReward()],
    }


@contextlib.contextmanager
def kit_folder(name: str) -> Iterator[Path]:
    """A folder that goes when the process ends, and say nothing while it is filled."""
    folder = Path(tempfile.mkdtemp(prefix=f"lightrec-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield folder


def _events(names: list[str]) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    events = []
    for user in range(USERS):
        group, place = user % len(KINDS), int(generator.integers(SIZE))
        for step in range(STEPS):
            item = group * SIZE + (place + step) % SIZE
            events.append((f"u{user}", f"i{item}", f"2024-01-{step + 1:02d}T12:00:00"))
    return pl.DataFrame(events, schema=names, orient="row")


def _items(names: list[str]) -> pl.DataFrame:
    kinds = [KINDS[item // SIZE] for item in range(ITEMS)]
    rows = [(f"i{i}", f"{kind} number {i % SIZE}", kind) for i, kind in enumerate(kinds)]
    return pl.DataFrame(rows, schema=names, orient="row")
