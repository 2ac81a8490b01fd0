"""Users who are a language model: it reads who somebody is, and is asked what they choose next.

What somebody chose before is read as lines of a text, and an item's chance is how much likelier
its title is as the next line than it would be of anybody. How far such users agree with a log is
measured in :mod:`lightrec_generate.agreement`; before that they judge nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, Self

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.store import TEST, VALIDATION, EventStore
from lightrec.errors import RecipeError, RunError
from lightrec.keys import PADDING, Column
from lightrec.run import Run
from lightrec.simulators.session_env import Mode
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.stages.redo import check_rooms
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.user_model import UserModel
from lightrec_generate.agreement import Agreement, Choices, fitted, measured
from lightrec_generate.answers import Answers
from lightrec_generate.language_readers import (
    SMOLLM,
    Decoder,
    LanguageReader,
    reader_of_run,
    words_of_items,
)

FOLDER: Final = "language_users"
"""In a run's folder: what `lightrec agreement` leaves."""
SETTINGS, ANSWERS = "users.json", "answers.db"
NOTHING: Final = "None of these"
"""Line that stands for choosing nothing among the lines that may come next."""


class LanguageChoice(ChoiceModel):
    """P(i | person, set) ∝ exp(a · s(i | person) + b · s(i)), and nothing is one more line.

    s is a line's log-likelihood, after all that is known of a person and after the opening alone;
    with a = 1 and b = -1 that is the mutual information of person and item (Holtzman et al. 2021,
    "Surface form competition"). It has no weights but these two and the odds of nothing.

    :param answers: of a reader whose scores are log-likelihoods of lines.
    :param words: of N + 1 items, from
        :func:`~lightrec_generate.language_readers.words_of_items`.
    :param opening: the first line that is read.
    :param people: a line about each user; an empty one is left out.
    :param items: so many of a history's last items are read.
    """

    weights: Tensor
    """(2,) float32: a and b."""

    def __init__(
        self,
        answers: Answers,
        words: Sequence[str],
        opening: str,
        people: Sequence[str] = (),
        items: int = 5,
    ) -> None:
        super().__init__(
            len(words) - 1,
            vector_size=1,  # what other choice models learn of items is not learned here
            history_length=items,
            state_size=items,
            feature_size=1,
            hidden_size=1,
            identity_size=1,
            records_nothing=False,
        )
        self.answers, self.words = answers, [*words, NOTHING]
        self.opening, self.about = opening, people
        self.register_buffer("weights", torch.tensor([1.0, -1.0]))

    def state(self, history: Tensor) -> Tensor:
        """The last items (B, ``items``) of histories (B, any length)."""
        return self._last(history)

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """The last items (B, C, ``items``) when each of items (B, C), in turn, is added."""
        before = self._last(history)[:, 1:].unsqueeze(1).expand(-1, items.shape[1], -1)
        return torch.cat([before, items.unsqueeze(2)], 2)

    def utilities(
        self, state: Tensor, items: Tensor | None = None, user: Tensor | None = None
    ) -> Tensor:
        """Utilities (B, C), nothing having 0; see the base class.

        Without ``items`` a line is read for every item of the catalog.
        """
        if items is None:
            items = torch.arange(self.num_items + 1, device=state.device).expand(len(state), -1)
        # Nothing is item N + 1.
        said = self.said(state, pad(items, (0, 1), value=self.num_items + 1), user)
        scores = said @ self.weights
        return (scores[:, :-1] - scores[:, -1:] - self.nothing_shift).masked_fill(
            items == PADDING, -torch.inf
        )

    def said(self, state: Tensor, items: Tensor, user: Tensor | None = None) -> Tensor:
        """Ask the reader: (B, C, 2), how likely items (B, C) are of the person, and of anybody."""
        lines = [[self.words[item] for item in row] for row in items.tolist()]
        of_anybody = [[self.opening]] * len(lines)
        scores = [
            self.answers.scores(texts, lines) for texts in (self.texts(state, user), of_anybody)
        ]
        return torch.stack(scores, 2).to(self.weights)

    def texts(self, state: Tensor, user: Tensor | None = None) -> list[list[str]]:
        """Put people into words: the opening, a line about them, and what they chose."""
        rows = [None] * len(state) if user is None else user.tolist()
        return [
            [
                self.opening,
                *([self.about[row]] if row is not None and self.about and self.about[row] else []),
                *(self.words[item] for item in chosen if PADDING < item <= self.num_items),
            ]
            for chosen, row in zip(state.tolist(), rows, strict=True)
        ]

    @classmethod
    def of_store(
        cls, store: EventStore, answers: Answers, opening: str, attributes: bool = True, **more: Any
    ) -> Self:
        """Make the users of a prepared log.

        :param attributes: whether the attributes of the user table are read.
        :param more: further arguments of the constructor.
        """
        people = [""] * store.num_users
        if attributes:
            table = store.users.drop(Column.USER)
            for row, person in enumerate(table.iter_rows(named=True)):
                stated = {name: value for name, value in person.items() if value is not None}
                people[row] = ", ".join(f"{k}: {v}" for k, v in stated.items())
        return cls(answers, words_of_items(store), opening, people, **more)


class LanguageModelUsers(UserModelSimulator):
    """The users of a run's log, played by a language model.

    They step like a user model's, and policies may learn from them. They judge only where they
    agree with the log: see :meth:`in_mode`.

    :param run: a run folder in which `lightrec agreement` has measured these users.
    :param batch_size: sessions B.
    :param settings: of :class:`~lightrec.simulators.user_model.UserModelSimulator`.
    :raises RunError: where their agreement was not measured.
    """

    def __init__(self, run: str, batch_size: int, **settings: Any) -> None:
        opened = Run(run)
        choice, self.agreement = load(opened)
        store = opened.data
        super().__init__(
            UserModel([choice]),
            LogStarts.from_store(store),
            batch_size,
            popularity=torch.from_numpy(store.popularity()),
            repeats=store.repeats,
            **settings,
        )

    def in_mode(self, mode: Mode) -> Self:
        """A simulator that plays in a mode of judging.

        :raises RecipeError: where these users do not agree with the log better than popularity and
            chance do.
        """
        if not self.agreement.may_judge:
            raise RecipeError(
                f"These users may not judge anything. {self.agreement.in_words()} Policies may "
                "still learn from them; judge in another simulator."
            )
        return super().in_mode(mode)

    def fix(self, users: Tensor, seed: int) -> None:
        """Let every reset begin with these users; see the base class.

        :raises RecipeError: where the log has fewer users.
        """
        if int(users.max()) >= len(self.starts.ends):
            raise RecipeError(
                f"{int(users.max()) + 1} users are to play, and the log has "
                f"{len(self.starts.ends)}: ask for at most so many sessions (--sessions)."
            )
        super().fix(users, seed)


def agree(
    run: Run,
    model: str = SMOLLM,
    *,
    opening: str | None = None,
    attributes: bool = True,
    items: int = 5,
    events: int = 300,
    candidates: int = 10,
    nothing_rate: float = 0.5,
    seed: int = 0,
) -> Agreement:
    """Measure how far a language model agrees with a run's log, and make users of it.

    Its two weights, and popularity's one, are fitted to validation events; what is measured is
    measured on test events. The run's folder gets :data:`FOLDER`.

    :param model: a decoder's name or folder, or ``reader`` for what the run's stage has tuned.
    :param opening: see :class:`LanguageChoice`; None says it by the domain's name.
    :param attributes: whether the attributes of the user table are read.
    :param items: so many of a history's last items are read.
    :param events: at most so many of each part.
    :param candidates: items of a choice.
    :param nothing_rate: the assumed share of choices, among so many items, in which none is taken.
    :param seed: of the events and the other items.
    """
    if not 0 < nothing_rate < 1 or candidates < 2 or events < 2 or items < 1:
        raise RecipeError(
            f"nothing_rate is {nothing_rate}, candidates is {candidates}, events is {events} and "
            f"items is {items}: expected are a share between 0 and 1, at least 2, 2 and 1."
        )
    folder = run.path / FOLDER
    check_rooms(run.path, FOLDER)
    folder.mkdir(exist_ok=True)
    if opening is None:
        opening = f"What one person chose, the latest last ({run.domain.name}):"
    answers = Answers(reader_of(run, model), folder / ANSWERS)
    store = run.data
    choice = LanguageChoice.of_store(store, answers, opening, attributes, items=items)
    appeal = torch.from_numpy(store.popularity()).double().log1p()
    drawn, said = {}, {}
    for part in (VALIDATION, TEST):
        choices = drawn[part] = Choices.held_out(store, part, events, candidates, items, seed)
        with_nothing = pad(choices.items, (0, 1), value=choice.num_items + 1)
        said[part] = choice.said(choice.state(choices.history), with_nothing, choices.user).double()

    def likely(part: int, weights: Tensor) -> Tensor:
        return (said[part][:, :-1] @ weights).log_softmax(1)

    def popular(part: int, power: Tensor) -> Tensor:
        return (appeal[drawn[part].items] * power).log_softmax(1)

    weights = fitted(lambda numbers: likely(VALIDATION, numbers), torch.zeros(2))
    power = fitted(lambda numbers: popular(VALIDATION, numbers), torch.zeros(1))
    agreement = measured(likely(TEST, weights), popular(TEST, power))
    scores = said[VALIDATION] @ weights
    odds = scores[:, :-1].logsumexp(1) - scores[:, -1]
    shift = brentq(
        lambda shift: float((shift - odds).sigmoid().mean()) - nothing_rate,
        float(odds.min()) - 40,
        float(odds.max()) + 40,
    )
    settings = {
        "model": model,
        "opening": opening,
        "attributes": attributes,
        "items": items,
        "weights": weights.tolist(),
        "nothing_shift": shift,
        "nothing_rate": nothing_rate,
        "seed": seed,
        "agreement": asdict(agreement),
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    (folder / SETTINGS).write_text(text, encoding="utf-8")
    return agreement


def load(run: Run) -> tuple[LanguageChoice, Agreement]:
    """Load the users of a run whose agreement with its log was measured.

    :raises RunError: where it was not.
    """
    folder = run.path / FOLDER
    if not (folder / SETTINGS).is_file():
        raise RunError(
            f"How far a language model agrees with the log of {run.path} was not measured, so that "
            f"its users cannot be played: run `lightrec agreement {run.path}` first."
        )
    check_rooms(run.path, FOLDER)
    said = json.loads((folder / SETTINGS).read_text("utf-8"))
    answers = Answers(reader_of(run, said["model"]), folder / ANSWERS)
    choice = LanguageChoice.of_store(
        run.data, answers, said["opening"], said["attributes"], items=said["items"]
    )
    choice.weights.copy_(torch.tensor(said["weights"]))
    choice.nothing_shift.fill_(said["nothing_shift"])
    return choice.eval(), Agreement.of_plain(said["agreement"])


def reader_of(run: Run, model: str) -> LanguageReader:
    """A decoder by its name or folder, or what the run's stage `reader` tuned.

    :param model: ``reader`` for the latter.
    """
    if model == "reader":
        return reader_of_run(run)
    return Decoder(model, score="sum").eval()
