"""An order that is given as a list of samples: that of a sampler of the user's, or of DLIO."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.canonical import sha256
from cm4storage.core.errors import UserError
from cm4storage.loader.order import NO_FILE, WHOLE, FileRead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.loader.order import Share

_DIGESTED_AT_ONCE = 65536
_NUMBER_BYTES = 8

PADDING = -1
"""Stands in an order for a place that is filled without reading a sample."""


class SampledOrder:
    """The samples that `ids` yields, one after the other.

    Parameters
    ----------
    ids : iterable of int
        Samples as file number * samples per file + number in the file; any may come again, and
        there may be no end to them. Of an iterator only one method can be used, and once.
    files, samples_per_file, batch_size : int
        The samples of one batch that lie in one file are read from it at once.
    name : str
        What messages call the source of the ids.
    """

    _lowest = 0

    def __init__(
        self, ids: Iterable[int], files: int, samples_per_file: int, batch_size: int, name: str
    ) -> None:
        self._ids = ids
        self._total = files * samples_per_file
        self._name = name
        self.samples_per_file = samples_per_file
        self._batch_size = batch_size

    def reads(self, wanted: int, share: Share = WHOLE) -> Iterator[FileRead]:
        """Yield the reads of one batch after the other; see `EpochOrder.reads`."""
        return share.pick(self._all_reads(wanted))

    def _all_reads(self, wanted: int) -> Iterator[FileRead]:
        ids = self.ids(wanted)
        for first in range(0, wanted, self._batch_size):
            batch = list(islice(ids, self._batch_size))
            if len(batch) < min(self._batch_size, wanted - first):
                raise UserError(
                    f"{self._name} gave {first + len(batch)} samples, and {wanted} are needed"
                )
            yield from self._reads_of(batch, first, wanted)

    def _reads_of(self, batch: list[int], first: int, wanted: int) -> Iterator[FileRead]:
        per_file = self.samples_per_file
        left = list(enumerate(batch, first))
        if self._lowest == PADDING:
            padded = [place for place, number in left if number == PADDING]
            left = [(place, number) for place, number in left if number != PADDING]
            if padded:
                yield FileRead(NO_FILE, padded, padded[0], padded[-1])
        while left:
            by_file: dict[int, dict[int, int]] = {}
            again = []
            for place, number in left:
                file_index, sample = divmod(number, per_file)
                places = by_file.setdefault(file_index, {})
                if sample in places:
                    again.append((place, number))  # one read fills one place for each sample
                else:
                    places[sample] = place
            for file_index, places in by_file.items():
                listed = [places.get(sample, wanted) for sample in range(max(places) + 1)]
                found = places.values()
                yield FileRead(file_index, listed, min(found), max(found))
            left = again

    def ids(self, wanted: int) -> Iterator[int]:
        """Yield the samples at the first `wanted` places; see `EpochOrder.ids`.

        Raises
        ------
        UserError
            For a sample that does not exist.
        """
        for number in islice(self._ids, wanted):
            if not self._lowest <= number < self._total:
                raise UserError(
                    f"{self._name} gave sample {number}, and there are {self._total}",
                    advice="give numbers from 0 on: file number * samples per file + sample",
                )
            yield int(number)

    def digest(self) -> str:
        """Return a digest of the order of as many samples as there are in the data set."""
        hasher, ids = sha256(b"samples"), islice(self._ids, self._total)
        while part := list(islice(ids, _DIGESTED_AT_ONCE)):
            hasher.update(b"".join(_bytes(number) for number in part))
        return hasher.hexdigest()


class PaddedOrder(SampledOrder):
    """As `SampledOrder`; an id may be `PADDING` too."""

    _lowest = PADDING


def _bytes(number: int) -> bytes:
    return int(number).to_bytes(_NUMBER_BYTES, "little", signed=number < 0)
