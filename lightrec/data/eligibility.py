"""Which items may be shown to which users, as the domain of a prepared log decides."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightrec import plugins
from lightrec.data.domain import Domain
from lightrec.data.store import EventStore, Integers
from lightrec.errors import PluginError

Showable: TypeAlias = Callable[[Tensor], Tensor | None]
"""From users (B,) to what may be shown to them, (B, N + 1) bool; None where everything may be."""


def domain_of(store: EventStore) -> Domain:
    """Return the domain for which a log was prepared.

    If it is no longer installed, the base class replaces it, unless the domain forbade items.

    :raises PluginError: if the domain forbids items and no installed plugin provides it.
    """
    name = store.meta["settings"]["domain"]
    if name in plugins.installed().parts["domains"]:
        domain: Domain = plugins.installed().get("domains", name).load()()
        return domain
    if store.meta.get("restricts"):
        raise PluginError(
            f"The log in {store.folder} was prepared for the domain {name!r}, which says what may "
            "be shown to whom, and no installed plugin provides that domain. Install the package "
            "that does; `lightrec plugins list` shows what is installed."
        )
    return Domain()


def eligible(store: EventStore, users: Integers | None) -> npt.NDArray[np.bool_] | None:
    """Return the items that may be shown to some users.

    :param users: ``(B,)`` rows of the user table; None for one person who is not in the log,
        whose every attribute is null.
    :returns: ``(B, N + 1)`` bool, ``(1, N + 1)`` for a person who is not in the log; column 0 is
        False. None where everything may be shown.
    :raises PluginError: if the domain is not installed, fails, or returns something else.
    """
    domain = domain_of(store)
    if type(domain).eligible is Domain.eligible:
        return None
    table = store.users.clear(1) if users is None else store.users[np.asarray(users)]
    shape = (table.height, store.num_items)
    with plugins.blaming(domain, f"say which of {shape[1]} items may be shown to {shape[0]} users"):
        found = domain.eligible(table, store.catalog)
    if found is None:
        return None
    if not isinstance(found, np.ndarray) or found.dtype != bool or found.shape != shape:
        what = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else repr(found)[:80]
        raise PluginError(
            f"`eligible` of {plugins.provider(domain)} gave {what}; expected is None or a numpy "
            f"array of bool, one row a user and one column an item, here {shape}."
        )
    return np.pad(found, ((0, 0), (1, 0)))


def showable(store: EventStore) -> Showable:
    """Return a function from users to the items that may be shown to them, on the users' device.

    :raises PluginError: at once, if the domain forbids items and is not installed.
    """
    domain_of(store)

    def allowed(users: Tensor) -> Tensor | None:
        found = eligible(store, users.cpu().numpy())
        return None if found is None else torch.from_numpy(found).to(users.device)

    return allowed
