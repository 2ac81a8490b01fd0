"""`lightrec tune`: the search for a stage's best settings with Optuna, one trial after the other.

The study lies in a SQLite file. A trial's chance follows from the recipe's seed and the trial's
number, and the trial under way continues from its last finished epoch: a search that was stopped
ends as an unbroken one does. Trials are judged by validation alone and leave no files but their
curves; the search leaves the best recipe and Optuna's pictures.

Several commands share a search: each has a lock on the file of its trial, which goes with its
process, so that another one takes up what was begun there.
"""

import hashlib
import math
import shutil
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import lightning.pytorch as pl
import matplotlib
import numpy as np
import optuna
from filelock import BaseFileLock, FileLock, Timeout
from lightning.pytorch.callbacks import Callback
from matplotlib import pyplot
from optuna.trial import Trial, TrialState

from lightrec.api import Stage, Table
from lightrec.data.files import write_whole
from lightrec.errors import LightrecError, RecipeError, RunError
from lightrec.nn.stage import LAST, StageModule
from lightrec.stages.tensorboard import write_final
from lightrec.stages.train import ParsedRecipe, fit
from lightrec_tune.space import Space, held, text

STUDY = "study.db"
BEST, HISTORY, SLICES, IMPORTANCES = "best.yaml", "history.png", "settings.png", "importances.png"
ROWS, ENOUGH = 10, 10
"""Trials that the table shows, and from which on it is said how much each setting matters."""
STATES = {
    TrialState.COMPLETE: "trained to the end",
    TrialState.PRUNED: "given up early",
    TrialState.FAIL: "failed",
}


def settings(values: Mapping[str, Any]) -> list[str]:
    """Write a trial's values as settings of the command line."""
    return [f"--{name}={text(value)}" for name, value in values.items()]


def short(name: str) -> str:
    """A setting's last word: ``size`` of ``model.init_args.size``."""
    return name.rpartition(".")[2]


def shown(value: object) -> str:
    """Write a value in a few letters, with as many digits as matter."""
    written = f"{value:.3g}" if isinstance(value, float) else text(value)
    return written if len(written) <= 24 else f"{written[:23]}…"


@dataclass(frozen=True)
class TrialStage(Stage):
    """A stage that is trained to be judged, as number 1 or above in the folder of a search."""

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
    """Reports every validation's metric to the study, and stops a trial that is worse than most."""

    def __init__(self, trial: Trial, monitor: str, prune: bool) -> None:
        self.trial, self.monitor, self.prune = trial, monitor, prune
        self.values: list[float] = []
        self.pruned = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where the checkpoint was written after the trial had been given up."""
        trainer.should_stop |= self.pruned

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the metric, and ask whether to continue."""
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

    :param stage: the trained stage with its recipe, in the run whose files it reads; it is not
        written.
    :param space: what is searched.
    :param out: the folder to leave.
    :param advice: what to do where the space does not fit the recipe.
    :param prune: whether to stop trials early that are worse than the median of those before.
    :param storage: URL of the study's database; None for a file in ``out``.
    :raises RecipeError: where the space does not fit the recipe.
    :raises RunError: where a stage before has not been run, or ``out`` holds another search.
    """

    def __init__(
        self,
        stage: Stage,
        space: Space,
        out: Path,
        advice: str,
        prune: bool = True,
        storage: str | None = None,
    ) -> None:
        fingerprint = stage.fingerprint()  # first, because it says which stage is missing
        self.stage, self.space, self.out, self.prune = stage, space, out, prune
        self.recipe = ParsedRecipe(stage)
        module: type[StageModule] = resolve_name(self.recipe.config["model"]["class_path"])
        self.monitor, self.mode = module.monitor, module.mode
        if self.monitor == LAST:
            raise RecipeError(
                f"{module.__name__} keeps its last epoch and has no metric to choose by, so that "
                "its settings cannot be searched. Tune a stage that has one, such as the ranker."
            )
        tried: dict[str, Any] = dict(space)  # all choices, and both ends of a range
        extremes = {n: getattr(s, "choices", None) or (s.low, s.high) for n, s in tried.items()}
        for number in range(max(map(len, extremes.values()))):
            chosen = {name: values[number % len(values)] for name, values in extremes.items()}
            try:
                ParsedRecipe(stage, settings(chosen))
            except RecipeError as error:
                raise RecipeError(
                    f"The space does not fit the recipe of the stage {stage.name}. {error}\n"
                    f"{advice}"
                ) from error
        content = f"{fingerprint} {space} {prune}"
        mark = hashlib.sha256(content.encode()).hexdigest()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.out / ".lock")
        with self.lock:
            self.study = self._study(mark, storage)

    def _study(self, mark: str, storage: str | None) -> optuna.Study:
        """The study, begun or gone on with.

        :param mark: of what is searched, by which a database tells several searches apart.
        """
        median = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
        study = optuna.create_study(
            storage=storage or f"sqlite:///{(self.out / STUDY).as_posix()}",
            study_name=f"{self.stage.name}-{mark[:12]}" if storage else self.stage.name,
            direction="maximize" if self.mode == "max" else "minimize",
            pruner=median if self.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        trials = study.get_trials(deepcopy=False)
        drawn = [pair for trial in trials for pair in trial.distributions.items()]
        # A file from elsewhere may name any setting, whatever fingerprint it gives.
        foreign = any(self.space.get(name) != choices for name, choices in drawn)
        if foreign or study.user_attrs.setdefault("fingerprint", mark) != mark:
            raise RunError(
                f"{self.out} holds a search over another space, recipe or log, and its trials "
                "cannot be compared with new ones. Name another folder with --out, or delete it."
            )
        study.set_user_attr("fingerprint", mark)
        # The recipe's own settings come first, so that the best is never worse than they are.
        value = self.recipe.config.get
        first = {name: held(choices, value(name)) for name, choices in self.space.items()}
        if not trials and None not in first.values():
            study.enqueue_trial(first)
        return study

    def run(self, trials: int) -> None:
        """Go on until so many trials are finished, those of earlier calls included.

        :param trials: at least 1.
        :raises LightrecError: where the first trial fails; a later one is reported and passed over.
        """
        while (begun := self._next(trials)) is not None:
            trial, lock = begun
            headline = f"[{trial.number + 1}/{trials}]"
            values = " ".join(f"{short(n)}={shown(v)}" for n, v in trial.params.items())
            print(f"{headline} {values}", file=sys.stderr)
            try:
                outcome = self._run_trial(trial)
                Path(lock.lock_file).unlink(missing_ok=True)
            finally:
                lock.release()
            best = self.best
            rest = "" if best is None else f"; best {best.value:.4f} (trial {best.number + 1})"
            print(f"{headline} {outcome}{rest}", file=sys.stderr)
        with suppress(OSError):  # others are still at work, or nothing was done
            (self.out / ".work").rmdir()

    @property
    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """All trials that have ended, however they did."""
        return [t for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()]

    @property
    def complete(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that were trained to their end, the best first."""
        trained = [t for t in self.finished if t.state is TrialState.COMPLETE]
        return sorted(trained, key=lambda t: t.value or 0.0, reverse=self.mode == "max")

    @property
    def best(self) -> optuna.trial.FrozenTrial | None:
        """The best trial, the earliest among equals; None where there is none yet."""
        return next(iter(self.complete), None)

    def _next(self, trials: int) -> tuple[Trial, BaseFileLock] | None:
        """A trial that nobody trains, begun or new, and its lock; None where there are enough."""
        with self.lock:
            others = 0
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                try:
                    lock = self._locked(trial.number)
                except Timeout:
                    others += 1
                    continue
                if len(trial.params) == len(self.space):
                    return Trial(self.study, trial._trial_id), lock
                self.study.tell(trial.number, state=TrialState.FAIL)  # stopped while it was drawn
            number = len(self.finished) + others
            if number >= trials:
                if others:
                    print(f"Other commands still train {others} of the trials.", file=sys.stderr)
                return None
            seed = self.recipe.seed * 1_000_003 + number
            self.study.sampler = optuna.samplers.TPESampler(seed=seed)
            new = self.study.ask(self.space)
            return new, self._locked(new.number)

    def _locked(self, number: int) -> BaseFileLock:
        """The lock of a trial, which goes with this process.

        :raises Timeout: where another process has it.
        """
        path = self.out / ".work" / f"{number + 1:04d}.lock"
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path)
        lock.acquire(blocking=False)
        return lock

    def _run_trial(self, trial: Trial) -> str:
        """Train a trial, tell the study, and give the outcome in words."""
        twin = next((t for t in self.complete if t.params == trial.params), None)
        if twin is not None:
            # Training is deterministic: the same settings would give the same value.
            self.study.tell(trial, twin.value)
            return f"{self.monitor} {twin.value:.4f}, the same as trial {twin.number + 1}"
        of, number = self.stage, trial.number + 1
        chosen = [*of.overrides, *settings(trial.params)]
        stage = TrialStage(of.name, of.recipe, of.out, chosen, search=self.out, number=number)
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
        write_final(stage.logs, trial.params, {self.monitor: value})
        shutil.rmtree(stage.work)
        if watch.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            return f"{self.monitor} {value:.4f}, given up after {len(watch.values)} epochs"
        self.study.tell(trial, value)
        return f"{self.monitor} {value:.4f}"


def write(search: Search) -> None:
    """Write the best recipe and Optuna's pictures into the search's folder."""
    with search.lock:
        if (best := search.best) is not None:
            _write(search, best)


def _write(search: Search, best: optuna.trial.FrozenTrial) -> None:
    recipe = ParsedRecipe(search.stage, settings(best.params))
    content = recipe.parser.dump(recipe.config, skip_none=False)
    write_whole(
        search.out / BEST,
        f"# The {search.stage.name} stage with the best settings of {len(search.finished)} trials: "
        f"{search.monitor} {best.value:.4f}.\n"
        f"#   lightrec fit -c {Path(search.out, BEST).as_posix()}\n"
        f"reads: [{', '.join(search.stage.inputs)}]\n{content}",
    )
    plots = optuna.visualization.matplotlib
    # Optuna calls its pictures experimental, and sets the style of all that is drawn after them.
    with warnings.catch_warnings(), matplotlib.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")
        drawn: dict[str, Any] = {
            HISTORY: plots.plot_optimization_history(search.study, target_name=search.monitor),
            SLICES: plots.plot_slice(search.study, target_name=search.monitor),
        }
        if importances(search):
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            drawn[IMPORTANCES] = plots.plot_param_importances(search.study, evaluator)
        for name, axes in drawn.items():
            figure = np.ravel(axes)[0].figure
            figure.savefig(search.out / name, dpi=150, bbox_inches="tight")
            pyplot.close(figure)


def table(search: Search) -> str:
    """Set the best trials as a table that fits a terminal."""
    names = list(search.space)
    rows = [
        [str(t.number + 1), f"{t.value:.4f}", *(shown(t.params[name]) for name in names)]
        for t in search.complete[:ROWS]
    ]
    states = [trial.state for trial in search.finished]
    counts = [f"{states.count(s)} {words}" for s, words in STATES.items() if s in states]
    best = Table(["trial", search.monitor, *map(short, names)], rows).text()
    shares = [f"{short(name)} {share:.0%}" for name, share in importances(search).items()]
    matters = f"What the value depends on: {', '.join(shares)}.\n" if shares else ""
    return f"{best}\n\n{len(states)} trials: {', '.join(counts)}.\n{matters}"


def importances(search: Search) -> dict[str, float]:
    """Say how much each setting matters for a trial to be among the best, adding up to 1.

    PED-ANOVA (Watanabe et al. 2023) over the complete trials; empty where they are few.
    """
    if len(search.complete) < ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            return optuna.importance.get_param_importances(search.study, evaluator=evaluator)
        except (ValueError, RuntimeError):
            return {}  # as where all values are equal
