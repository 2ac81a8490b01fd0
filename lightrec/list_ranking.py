"""How items are ranked for people: by which of a run's models, and beside what."""

from collections.abc import Callable, Mapping
from functools import cached_property, partial

import polars as pl
import torch
from torch import Tensor

from lightrec.blame import blaming
from lightrec.data.people import Person
from lightrec.errors import RunError
from lightrec.evaluation.rankers import ranker_of
from lightrec.keys import Key
from lightrec.ranking.blend import Blend, log_shares
from lightrec.ranking.item_models.base import ItemModel, Popularity, RecentPopularity
from lightrec.ranking.lists import Choose, Placed, diversified, with_reserved_places
from lightrec.ranking.scorers import ItemScorer, Standing, by_history
from lightrec.run import Run


class ListRanking:
    """One of a run's rankings: of the items, for people with and without a history.

    :param run: whose models rank.
    :param by: as of :class:`lightrec.recommend.Recommender`.
    :param wished: what a request says of all items, and its weight beside other scores; see
        :meth:`lightrec.ranking.scorers.Wishes.scores`.
    :raises RunError: where the run lacks that stage.
    """

    def __init__(self, run: Run, by: str, wished: Callable[..., tuple[Tensor, float]]) -> None:
        self.run, self.by, self.wished = run, by, wished
        self.ranker = ranker_of(run, by)
        self.ranked_by = by
        """The last list's ranking: without a history, by what people with the same attributes
        choose, or, where nothing is known of the person, by recent popularity and variety; with a
        request besides, by it and one of these."""

    @property
    def model(self) -> ItemScorer:
        """The model that scores the items for somebody with a history."""
        return self.ranker.scorer

    @property
    def popularity(self) -> Popularity | RecentPopularity:
        """The model that ranks for somebody of whom nothing is known."""
        return self.run.popularity

    @cached_property
    def blend(self) -> Blend:
        """The model that ranks the next event, or a request beside it."""
        return self.run.served

    @cached_property
    def counts(self) -> Tensor:
        """(N + 1,) int64: how many training events each item has."""
        return torch.from_numpy(self.run.learned.popularity())

    @torch.inference_mode()
    def scores(self, person: Person, ask: str | None = None) -> Tensor:
        """Score all items for a person before anything is left out; sets ``ranked_by``.

        :param ask: a request in words, as in :meth:`lightrec.recommend.Recommender.recommend`.
        :returns: (B, N + 1) float32, higher is better; column 0 counts for nothing. Without a
            history and with nothing else known, the logarithm of recent popularity.
        """
        if (model := self._model_for(person.known, ask)) is None:
            return self.popularity.counts.clamp_min(0).log1p()[None]
        raw, weight, more = self._weighed(model, person.known, ask)
        return weight * raw + more

    def _model_for(self, known: Mapping[str, Tensor], ask: str | None) -> ItemScorer | None:
        """Choose by what a person's items are ranked; None for popularity and variety."""
        described = Key.USER in known or Key.PROFILE in known
        alike = self.run.demographic if described and not known[Key.HISTORY].any() else None
        if known[Key.HISTORY].any():
            self.ranked_by = self.by if ask is None else "blend"
            return self.model
        if ask is not None:
            self.ranked_by = "wish"
            return self.popularity if alike is None else alike
        self.ranked_by = "popularity" if alike is None else "attributes"
        return alike

    @blaming(None, "recommend items of the run")
    @torch.inference_mode()
    def best(
        self,
        known: Mapping[str, Tensor],
        allowed: Tensor,
        k: int,
        placed: Placed | None,
        ask: str | None,
        rules: Standing | None,
        people: pl.DataFrame,
    ) -> tuple[Tensor, Tensor]:
        """Items ``(B, k)``, best first, 0 where nothing is left, and their scores."""
        history, model = known[Key.HISTORY], self._model_for(known, ask)
        if model is None:
            return self._popular(allowed, k, rules, people)
        allowed = allowed.scatter(1, known[Key.SEEN], False)
        raw, weight, more = self._weighed(model, known, ask)
        choose: Choose | None = None
        shares = rules is not None and isinstance(model, ItemModel) and ask is None
        if rules is not None:  # which go by logarithms of weights
            raw, more = raw.clamp_min(1e-30).log() if shares else raw, more + rules.boost
            choose = partial(rules.fill, people=people)
        usual = (weight * raw + more).masked_fill(~allowed, -torch.inf)
        fresh = torch.full_like(usual, -torch.inf)
        if placed is None:
            items = with_reserved_places(usual, fresh, k, 0, choose)
        else:
            if self.run.text_map is None:
                raise RunError(
                    "New items are ranked by their texts, and the ranker of "
                    f"{self.run.path} reads none: give its recipe a text encoder, and the log an "
                    "item table."
                )
            fresh = weight * self.run.text_map.scores(raw, history) + more
            fresh = fresh.masked_fill(~allowed, -torch.inf)
            items = placed(usual, fresh, choose=choose)
        shown = torch.where(fresh > -torch.inf, fresh, usual)
        return items, (shown.exp() if shares else shown).gather(1, items)

    def raw(self, known: Mapping[str, Tensor], model: ItemScorer | None = None) -> Tensor:
        """Score all items for histories, ``Key.HISTORY`` (B, L), and what else is known of them.

        :param model: by what, in place of what this recommender ranks by.
        :returns: (B, N + 1), higher is better, before anything is left out.
        """
        model = self.model if model is None else model
        return by_history(model)(known)

    def _weighed(
        self, model: ItemScorer, known: Mapping[str, Tensor], ask: str | None
    ) -> tuple[Tensor, float, Tensor]:
        """Scores ``(B, N + 1)``, their weight beside a request, and what the request adds to them.

        With a request, the blend answers in place of the policy, and the logarithm of what other
        models say of people without a history is weighed as that of popularity.
        """
        history, weight, more = known[Key.HISTORY], 1.0, torch.zeros(())
        if ask is not None:
            model = self.blend if model is self.model else model
            more, weight = self.wished(ask, "history" if history.any() else "alone")
        raw = self.raw(known, model)
        if ask is not None and isinstance(model, ItemModel):
            raw = log_shares(raw, self.blend.smoothing)
        return raw, weight, more

    @torch.inference_mode()
    def _popular(
        self, allowed: Tensor, k: int, rules: Standing | None, people: pl.DataFrame
    ) -> tuple[Tensor, Tensor]:
        """Items ``(B, k)`` for people of whom nothing is known, and their marginal relevance."""
        popularity, vectors = self.popularity.counts, self.blend.ranker.item_vectors()
        if rules is not None:
            counts = popularity.masked_fill(~allowed, -torch.inf)
            return rules.varied(counts, vectors, k, people)
        # Few kinds, where anything is forbidden.
        kinds, which = allowed.unique(dim=0, return_inverse=True)
        lists = [diversified(popularity.masked_fill(~m, -torch.inf), vectors, k) for m in kinds]
        items, scores = zip(*lists, strict=True)
        return torch.stack(items)[which], torch.stack(scores)[which]
