"""A listing that goes on where it broke off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.storage.objects.failure import Kind, ObjectFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.store import ObjectStat


class Listing:
    """The objects below a folder, page by page, in the service's own order.

    A page that fails can be asked for again. Clients then list from the start, and what was there
    before is passed over: not every service begins in the middle, nor orders keys as others do.
    """

    def __init__(
        self, client: ObjectClient, folder: str, on_retry: Callable[[], None] | None = None
    ) -> None:
        self._client = client
        self._folder = folder
        self._on_retry = on_retry
        self._pages: Iterator[list[ObjectStat]] | None = None
        self._last = ""

    def next_page(self) -> list[ObjectStat]:
        """Return the next page, empty at the end.

        Raises
        ------
        ObjectFailure
            The next call tries the same page again.
        """
        pages = self._pages or self._from_the_last()
        self._pages = None  # what has failed cannot go on
        page = next((each for each in pages if each), [])  # clients may give empty ones
        self._pages = pages
        if page:
            self._last = page[-1].key
        return page

    def _from_the_last(self) -> Iterator[list[ObjectStat]]:
        pages = self._client.pages(self._folder, self._on_retry)
        return _after(self._last, pages) if self._last else iter(pages)


def _after(last: str, pages: Iterator[list[ObjectStat]]) -> Iterator[list[ObjectStat]]:
    for page in pages:
        places = [place for place, item in enumerate(page) if item.key == last]
        if places:
            rest = page[places[0] + 1 :]
            if rest:
                yield rest
            yield from pages
            return
    what = f"the listing broke off at {last}, and that is not there any more"
    raise ObjectFailure(Kind.ANSWERED, what)
