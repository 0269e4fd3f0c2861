"""The process that starts the ranks of one machine, and that all their messages go through."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import InternalError
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.ranks.messages import error_of
from cm4storage.ranks.processes import LocalProcesses

if TYPE_CHECKING:
    from collections.abc import Callable


class Hub(LocalProcesses):
    """Starts ranks, connects them, and ends them all when one of them fails.

    A context: at its end no rank is left; see `LocalProcesses` for its parameters.
    """

    def __init__(self, module: str, size: int, job: Any) -> None:
        super().__init__(module, size, job)
        self._waits_in: dict[int, dict[str, Any]] = {}
        self._results: dict[int, Any] = {}

    def run(self, advance: Callable[[int], None]) -> list[Any]:
        """Serve the ranks until all are done; return their results in order.

        Parameters
        ----------
        advance : callable
            Gets the progress of all ranks.

        Raises
        ------
        StorageBenchmarkError
            The first error of a rank, or the death of one; it names the rank.
        """
        with selectors.DefaultSelector() as selector:
            for number, rank in enumerate(self.processes):
                selector.register(rank.connection, selectors.EVENT_READ, number)
            while not all(rank.is_done for rank in self.processes):
                for key, _ in selector.select(TURN_S):
                    self._take(key.data, advance)
                    if self.processes[key.data].is_done:
                        selector.unregister(key.fileobj)
                STOP.check()
        return [self._results[number] for number in range(self._size)]

    def _take(self, number: int, advance: Callable[[int], None]) -> None:
        for message in self.messages(number):
            kind = message["kind"]
            if kind == "error":
                raise error_of(message, self.name(number))
            if kind == "progress":
                advance(int(message["units"]))
            elif kind == "result":
                self._results[number] = message["value"]
                self.processes[number].is_done = True
            else:
                self._waits_in[number] = message
        self._let_go()

    def _let_go(self) -> None:
        """Answer the ranks where all of them wait for each other."""
        waiting = self._waits_in
        if not waiting or len(waiting) + len(self._results) < self._size:
            return
        kinds = {message["kind"] for message in waiting.values()}
        if len(waiting) < self._size or len(kinds) > 1:
            raise InternalError(f"some ranks wait in {', '.join(sorted(kinds))}, others do not")
        values = [waiting[number].get("value") for number in range(self._size)]
        waiting.clear()
        for number in range(self._size):
            self.tell(number, {"values": values if number == 0 else None})
