"""Made-up online courses, some of which require that others were completed before.

They are those of the kit's tiny log: each of its kinds is a subject of twelve courses.
"""

import polars as pl
from lightrec_testing import tiny

from lightrec.data.domain import Domain
from lightrec.data.store import EventStore
from tests.changed import changed

HOOKS = f'lightrec_domains = hookimpl(lambda: {{"courses": "{__name__}:Courses"}})\n'


class Courses(Domain):
    """A course is open to who has had all that it requires."""

    name = "courses"
    by_history = True

    def eligible(self, audience):
        return audience.had_all("requires")


def required(item):
    """The numbers, from 0, of what an item requires: the course before it, or the two before."""
    place = item % tiny.SIZE
    return range(item - min(place, 1 + (place == tiny.SIZE - 1)), item)


def is_open(item, had):
    """Whether a course may be shown to who has had some."""
    return all(f"i{other}" in had for other in required(int(item[1:])))


def courses_run(tiny_run, folder):
    """Copy the tiny run as one over courses."""
    items = EventStore(tiny_run / "data").catalog["item"]
    needs = [[f"i{n}" for n in required(int(item[1:]))] for item in items]
    facts = {"settings": {"domain": "courses"}, "restricts": True}
    requires = pl.Series(needs, dtype=pl.List(pl.String))
    return changed(tiny_run, folder / "courses", facts, catalog={"requires": requires})
