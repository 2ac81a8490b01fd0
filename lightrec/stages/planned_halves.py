"""Whether the stages users_a and users_b of a run will learn from disjoint halves of the users."""

from collections.abc import Sequence

from lightrec.errors import RecipeError
from lightrec.stages.stage import Stage
from lightrec.stages.train import ParsedRecipe, arguments
from lightrec.users.halves import overlap


def check_planned_halves(stages: Sequence[Stage]) -> None:
    """See that user models A and B will learn from disjoint halves, before any stage works.

    :param stages: of a run, as planned; nothing is checked unless both stages are among them.
    :raises RecipeError: where the halves would overlap.
    """
    parsed = {
        s.name: ParsedRecipe(arguments(s)) for s in stages if s.name in ("users_a", "users_b")
    }
    notes = [_halves(recipe) for recipe in parsed.values()]
    if len(notes) < 2 or any(note["half"] is None for note in notes):
        return
    sentence = overlap(*notes)
    if sentence is not None:
        raise RecipeError(sentence)


def _halves(recipe: ParsedRecipe) -> dict[str, object]:
    """Read ``half`` and ``split_seed`` off a recipe; None where its data has no halves."""
    found = {name: recipe.value(f"data.init_args.{name}") for name in ("half", "split_seed")}
    if found["split_seed"] is None:
        found["split_seed"] = recipe.value("data.init_args.seed")
    return found
