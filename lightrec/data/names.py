"""Names as people write them, and what they may have meant."""

import difflib
from collections.abc import Iterable


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, with the nearest ones, or else with all of the few there are.

    :param what: what has the name, such as ``an attribute of the items``.
    """
    names = [str(each) for each in known]
    plain = {each.lower(): each for each in reversed(names)}
    near = [plain[each] for each in difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.6)]
    if near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        some = ", ".join(names[:20]) or "none"
        hint = f"There are {some}{', …' if len(names) > 20 else ''}."
    return f"{name!r} is not {what}. {hint}"
