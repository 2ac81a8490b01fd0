"""`lightrec tune`: the search for a stage's best settings with Optuna, one trial after the other.

The study lies in a SQLite file. A trial's chance follows from the recipe's seed and the trial's
number, and the trial under way goes on from its last finished epoch: a search that was stopped
ends as an unbroken one does. Trials are judged by validation alone and leave no files but their
curves; what the search leaves is in ``tune_report.py``.
"""

import hashlib
import json
import math
import re
import shutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import optuna
import yaml
from lightning.pytorch.callbacks import Callback
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial, TrialState

from lightrec.errors import DataError, LightrecError, RecipeError, RunError
from lightrec.stages.stage import Stage
from lightrec.stages.train import ParsedRecipe, fit

STUDY = "study.db"
Space = dict[str, BaseDistribution]
"""Settings such as ``model.init_args.size``, each with what it may be; choices as texts."""
DEFAULTS: Mapping[str, str] = {
    "ranker": """\
# What `lightrec tune` searches for a ranker, unless --space names another file.
model.init_args.learning_rate: {low: 0.0003, high: 0.01, log: true}
model.init_args.weight_decay: {low: 0.001, high: 0.3, log: true}
model.init_args.size: [32, 64, 128]
model.init_args.tower.init_args.dropout: {low: 0.1, high: 0.6}
model.init_args.tower.init_args.layers: [1, 2, 3]
model.init_args.tower.init_args.feedforward: [1, 2, 4]
"""
}
"""The space of a stage that has one, as the file that a user may write."""


def default_space(stage: str) -> str:
    """Give the default space of a stage, as YAML.

    :raises RecipeError: where it has none.
    """
    if stage not in DEFAULTS:
        raise RecipeError(
            f"There is no default space for the stage {stage}, only for {', '.join(DEFAULTS)}. "
            "Name a file with --space; `lightrec tune -c generic/ranker --print-space` shows how "
            "one looks."
        )
    return DEFAULTS[stage]


def parse_space(content: str, source: object) -> Space:
    """Turn YAML into a space.

    :param source: in which problems are found.
    :raises DataError: where it is no space; names every problem.
    """
    try:
        given = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise DataError(f"The space is not valid YAML: {error}.", source) from error
    if not isinstance(given, dict) or not given:
        raise DataError(
            "The space must be a mapping from settings to what they may be, such as "
            f"'model.init_args.weight_decay: {{low: 0.1, high: 0.5}}', not {given!r}.",
            source,
        )
    space, problems = {}, []
    for name, values in given.items():
        try:
            space[name] = _distribution(name, values)
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise DataError(problems, source)
    return space


def _distribution(name: object, values: Any) -> BaseDistribution:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_]\w*(\.[a-z_]\w*)*", name):
        raise ValueError(
            "A setting is named as in the recipe, such as model.init_args.size, without dashes."
        )
    match values:
        case [_, _, *_] if len({text(value) for value in values}) == len(values):
            return CategoricalDistribution([text(value) for value in values])
        case {"low": low, "high": high, **more} if more.keys() <= {"log", "step"}:
            log, step = bool(more.get("log")), more.get("step")
            low, high, *steps = (_number(n) for n in (low, high, step) if n is not None)
            if all(isinstance(number, int) for number in (low, high, *steps)):
                return IntDistribution(low, high, log, *steps)
            return FloatDistribution(low, high, log, *steps)
    raise ValueError(
        "Expected a range such as {low: 0.1, high: 0.5}, with log: true or a step if need be, or "
        f"two or more different choices such as [1, 2, 3], not {values!r}."
    )


def _number(value: Any) -> Any:
    # YAML takes 1e-4, without a point, for a word.
    number = value if isinstance(value, int) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"Expected a number, not {number}.")
    return number


def held(given: BaseDistribution, value: object) -> object | None:
    """Give a recipe's value as a trial has it where it is in the space, else None."""
    try:
        number = given.to_internal_repr(
            text(value) if isinstance(given, CategoricalDistribution) else value
        )
    except (TypeError, ValueError):
        return None
    found: object = given.to_external_repr(number)
    return found if given._contains(number) else None


def ends(given: BaseDistribution) -> tuple[Any, ...]:
    """Give both ends of a range, or all choices."""
    if isinstance(given, CategoricalDistribution):
        return given.choices
    assert isinstance(given, IntDistribution | FloatDistribution)
    return given.low, given.high


def text(value: object) -> str:
    """Write a value as on the command line, lists and mappings as JSON.

    :raises TypeError: where it is no plain value, list or mapping.
    """
    return value if isinstance(value, str) else json.dumps(value)


def settings(values: Mapping[str, Any]) -> list[str]:
    """Write a trial's values as settings of the command line."""
    return [f"--{name}={text(value)}" for name, value in values.items()]


def short(name: str) -> str:
    """Give a setting's last word: ``size`` of ``model.init_args.size``."""
    return name.rpartition(".")[2]


def shown(value: object) -> str:
    """Write a value in a few letters, with as many digits as matter."""
    written = f"{value:.3g}" if isinstance(value, float) else text(value)
    return written if len(written) <= 24 else f"{written[:23]}…"


@dataclass(frozen=True)
class TrialStage(Stage):
    """A stage that is trained to be judged: its work and its curves lie in the search's folder.

    :param search: the folder of the search.
    :param number: of the trial, from 1.
    """

    search: Path = Path()
    number: int = 0

    @property
    def work(self) -> Path:
        """Where checkpoints of the unfinished trial lie."""
        return self.search / ".work" / f"{self.number:04d}"

    @property
    def logs(self) -> Path:
        """Where TensorBoard finds the trial."""
        return self.search / "logs" / f"{self.number:04d}"


class TrialWatch(Callback):
    """Reports every validation to the study, and stops a trial that is worse than most.

    :param trial: Optuna's.
    :param monitor: the metric to report.
    :param prune: whether to stop trials early.
    """

    def __init__(self, trial: Trial, monitor: str, prune: bool) -> None:
        self.trial, self.monitor, self.prune = trial, monitor, prune
        self.values: list[float] = []
        self.pruned = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where the checkpoint was written after the trial had been given up."""
        if self.pruned:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the metric, and ask whether to go on."""
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics[self.monitor])
        with warnings.catch_warnings():
            # An epoch that is done again after a stop has been reported, with the same value.
            warnings.simplefilter("ignore")
            self.trial.report(value, step=len(self.values))
        self.values.append(value)
        if self.prune and self.trial.should_prune():
            self.pruned = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Keep what was reported next to the weights."""
        return {"values": self.values, "pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was reported before the stop."""
        self.values, self.pruned = list(state_dict["values"]), state_dict["pruned"]


class Search:
    """The search for one stage's best settings.

    :param stage: the stage with its recipe, in the run whose files it reads; it is not written.
    :param space: what is searched.
    :param out: the folder to leave.
    :param prune: whether to stop trials early that are worse than the median of those before.
    :raises RecipeError: where the recipe cannot be searched, or the space does not fit it.
    :raises RunError: where a stage before has not been run, or ``out`` holds another search.
    """

    def __init__(self, stage: Stage, space: Space, out: Path, prune: bool = True) -> None:
        if stage.function:
            raise RecipeError(
                f"The stage {stage.name} trains nothing, so that there is nothing to tune. Name "
                "the recipe of one that does, such as video/ranker."
            )
        fingerprint = stage.fingerprint()  # first, because it says which stage is missing
        self.stage, self.space, self.out, self.prune = stage, space, out, prune
        self.recipe = ParsedRecipe(stage)
        self.monitor, self.mode = self.recipe.module.monitor, self.recipe.module.mode
        self._check()
        content = f"{fingerprint} {space} {prune}"
        self.study = self._open(hashlib.sha256(content.encode()).hexdigest())

    def _check(self) -> None:
        """Parse the recipe with every end and every choice before any work begins."""
        extremes = {name: ends(given) for name, given in self.space.items()}
        for number in range(max(map(len, extremes.values()))):
            chosen = {name: values[number % len(values)] for name, values in extremes.items()}
            try:
                ParsedRecipe(self.stage, settings(chosen))
            except RecipeError as error:
                raise RecipeError(
                    f"The space does not fit the recipe of the stage {self.stage.name}. {error}"
                ) from error

    def _open(self, fingerprint: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=f"sqlite:///{(self.out / STUDY).as_posix()}",
            study_name=self.stage.name,
            direction="maximize" if self.mode == "max" else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
            if self.prune
            else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        trials = study.get_trials(deepcopy=False)
        tried = [pair for trial in trials for pair in trial.distributions.items()]
        # A file from elsewhere may name any setting, whatever fingerprint it gives.
        foreign = any(self.space.get(name) != given for name, given in tried)
        if foreign or study.user_attrs.setdefault("fingerprint", fingerprint) != fingerprint:
            raise RunError(
                f"{self.out} holds a search over another space, recipe or log, and its trials "
                "cannot be compared with new ones. Name another folder with --out, or delete it."
            )
        study.set_user_attr("fingerprint", fingerprint)
        # The recipe's own settings come first, so that the best is never worse than they are.
        own = {name: held(given, self.recipe.value(name)) for name, given in self.space.items()}
        if not trials and None not in own.values():
            study.enqueue_trial(own)
        return study

    def run(self, trials: int) -> None:
        """Go on until so many trials are finished, those of earlier calls included.

        :param trials: at least 1.
        :raises LightrecError: where the first trial fails; a later one is reported and passed over.
        """
        while len(self.finished) < trials:
            trial = self._next()
            headline = f"[{trial.number + 1}/{trials}]"
            values = " ".join(f"{short(n)}={shown(v)}" for n, v in trial.params.items())
            print(f"{headline} {values}", file=sys.stderr)
            outcome = self._run_trial(trial)
            best = self.best
            rest = "" if best is None else f"; best {best.value:.4f} (trial {best.number + 1})"
            print(f"{headline} {outcome}{rest}", file=sys.stderr)

    @property
    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """All trials that have ended, however they did."""
        return [t for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()]

    @property
    def complete(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that were trained to their end, the best first."""
        found = [t for t in self.finished if t.state is TrialState.COMPLETE]
        return sorted(found, key=lambda t: t.value or 0.0, reverse=self.mode == "max")

    @property
    def best(self) -> optuna.trial.FrozenTrial | None:
        """The best trial, the earliest among equals; None where there is none yet."""
        return next(iter(self.complete), None)

    def _next(self) -> Trial:
        """Give the trial under way, or ask for a new one."""
        seed = self.recipe.seed * 1_000_003 + len(self.finished)
        self.study.sampler = optuna.samplers.TPESampler(seed=seed)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if len(trial.params) == len(self.space):
                return Trial(self.study, trial._trial_id)
            self.study.tell(trial.number, state=TrialState.FAIL)  # stopped while it was drawn
        return self.study.ask(self.space)

    def _run_trial(self, trial: Trial) -> str:
        """Train a trial, tell the study, and give the outcome in words."""
        twin = next((t for t in self.complete if t.params == trial.params), None)
        if twin is not None:
            # Training is deterministic: the same settings would give the same value.
            self.study.tell(trial, twin.value)
            return f"{self.monitor} {twin.value:.4f}, the same as trial {twin.number + 1}"
        stage = TrialStage(
            self.stage.name,
            self.stage.recipe,
            self.stage.out,
            [*self.stage.overrides, *settings(trial.params)],
            search=self.out,
            number=trial.number + 1,
        )
        watch = TrialWatch(trial, self.monitor, self.prune)
        try:
            fit(stage, [watch])
            value = (max if self.mode == "max" else min)(watch.values)
            if math.isnan(value):
                raise RunError(f"{self.monitor} is not a number.")
        except (LightrecError, ValueError, RuntimeError) as error:
            if self.best is None:
                # Whatever it is lies with the recipe or the machine, and every trial would meet it.
                raise
            trial.set_user_attr("error", str(error))
            self.study.tell(trial, state=TrialState.FAIL)
            return f"failed: {error}"
        shutil.rmtree(stage.work)
        if watch.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            return f"{self.monitor} {value:.4f}, given up after {len(watch.values)} epochs"
        self.study.tell(trial, value)
        return f"{self.monitor} {value:.4f}"
