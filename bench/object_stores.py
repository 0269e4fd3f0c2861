"""Our object stores beside bare loops of their clients, in turn, on the same embedded servers.

Usage: ``python bench/object_stores.py [--service s3|azure] [--quick] [--folder DIR]``. Client and
server share the machine, so the server is often the limit: beside every rate stands what it cost
the client, in CPU seconds per GB. Of each candidate its best number of threads counts; a ratio is
that of one round, and its range that over the rounds. Clients that are not installed are left out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import object_clients

from cm4storage.storage import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from object_clients import Client

MIB = 2**20
GB = 10**9
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Case:
    """Requests of one kind and size.

    Attributes
    ----------
    name : str
    verb : str
        ``get``, ``get_into`` or ``put``: the method of the clients.
    size_bytes, count : int
        Of the objects; as many requests are one measurement.
    threads : tuple of int
        Tried in turn; the best counts.
    """

    name: str
    verb: str
    size_bytes: int
    count: int
    threads: tuple[int, ...]


CASES = (
    Case("GET 16 MiB", "get", 16 * MIB, 32, (1, 2, 4)),
    Case("GET 16 MiB into a buffer", "get_into", 16 * MIB, 32, (1, 2, 4)),
    Case("GET 4 KiB", "get", 4096, 2000, (4, 8, 16)),
    Case("PUT 16 MiB", "put", 16 * MIB, 12, (1, 2)),
)


@dataclass(frozen=True)
class Measurement:
    """One candidate in one round, with its best number of threads."""

    rate_bytes_per_s: float
    requests_per_s: float
    client_s_per_gb: float
    server_s_per_gb: float
    threads: int


def main() -> None:
    """Measure all cases, and print a Markdown table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--service", choices=tuple(object_clients.CLIENTS), default="s3")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--case", default="", help="only those whose name has this text")
    parser.add_argument("--folder", type=Path, help="where data go; a temporary folder")
    args = parser.parse_args()
    rounds = 1 if args.quick else 5
    with (
        tempfile.TemporaryDirectory(dir=args.folder) as folder,
        embedded.connect(Path(folder, "server"), args.service) as server,
    ):
        clients = object_clients.clients_of(args.service, server)
        for case in CASES:
            if args.case in case.name:
                run_case(case, clients, Path(folder, "server"), rounds)


def run_case(case: Case, clients: Sequence[Client], server_dir: Path, rounds: int) -> None:
    """Measure one case and print its table."""
    keys = [f"{case.size_bytes}/{number:05}" for number in range(min(case.count, 64))]
    body = os.urandom(case.size_bytes)
    for key in keys:
        clients[0].put(key, body)
    usable = [client for client in clients if hasattr(client, case.verb)]
    found: dict[str, list[Measurement]] = {client.name: [] for client in usable}
    for _ in range(rounds):
        for client in usable:
            found[client.name].append(best_of(case, client, keys, body, server_dir))
    print_table(case, found)


def best_of(
    case: Case, client: Client, keys: Sequence[str], body: bytes, server_dir: Path
) -> Measurement:
    """Return the fastest of the numbers of threads."""
    results = [measure(case, client, keys, body, server_dir, threads) for threads in case.threads]
    return max(results, key=lambda result: result.rate_bytes_per_s)


def measure(
    case: Case,
    client: Client,
    keys: Sequence[str],
    body: bytes,
    server_dir: Path,
    threads: int,
) -> Measurement:
    """Send the requests of a case from some threads."""
    work = request_of(case, client, body)
    numbers = list(itertools.islice(itertools.cycle(keys), case.count))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, numbers[: threads * 2]))
        server_s, client_s, begin = server_cpu_s(server_dir), time.process_time(), clock()
        list(pool.map(work, numbers, chunksize=max(1, case.count // (threads * 8))))
        duration_s = clock() - begin
        client_s, server_s = time.process_time() - client_s, server_cpu_s(server_dir) - server_s
    moved_gb = case.count * case.size_bytes / GB
    return Measurement(
        moved_gb * GB / duration_s,
        case.count / duration_s,
        client_s / moved_gb,
        server_s / moved_gb,
        threads,
    )


def request_of(case: Case, client: Client, body: bytes) -> Callable[[str], None]:
    """Return what sends one request; each thread that fills a buffer has its own."""
    if case.verb == "put":
        return lambda key: client.put(key, body)
    if case.verb == "get":
        return lambda key: check(client.get(key), case.size_bytes)
    buffers = object_clients.Buffers(case.size_bytes)
    return lambda key: check(client.get_into(key, buffers.mine), case.size_bytes)


def check(count: int, expected: int) -> None:
    """Refuse to count what did not come."""
    if count != expected:
        sys.exit(f"{count} bytes came in place of {expected}")


def clock() -> float:
    """Return a time in seconds."""
    return time.perf_counter()


def server_cpu_s(server_dir: Path) -> float:
    """Return the CPU seconds that the processes of an embedded server have used."""
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == server_dir:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return ticks / TICKS_PER_S


def print_table(case: Case, found: dict[str, list[Measurement]]) -> None:
    """Print one row for each candidate; ratios are to the bare loop of the same client."""
    bare = found.get("bare obstore", [])
    print(f"\n### {case.name}\n")
    print(
        "| client | MB/s (threads) | requests/s | / bare obstore "
        "| client CPU-s/GB | / bare obstore | server CPU-s/GB |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, results in found.items():
        rates = ratios(results, bare, lambda result: result.rate_bytes_per_s)
        costs = ratios(results, bare, lambda result: result.client_s_per_gb)
        middle = statistics.median_low([result.rate_bytes_per_s for result in results])
        typical = next(result for result in results if result.rate_bytes_per_s == middle)
        client_s = statistics.median(result.client_s_per_gb for result in results)
        server_s = statistics.median(result.server_s_per_gb for result in results)
        print(
            f"| {name} | {middle / 1e6:,.0f} ({typical.threads}) | {typical.requests_per_s:,.0f} "
            f"| {rates} | {client_s:.3f} | {costs} | {server_s:.3f} |"
        )
    sys.stdout.flush()


def ratios(
    ours: Sequence[Measurement],
    others: Sequence[Measurement],
    figure: Callable[[Measurement], float],
) -> str:
    """Return the median ratio of the rounds, and its range."""
    values = [figure(a) / figure(b) for a, b in zip(ours, others, strict=False) if figure(b)]
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


if __name__ == "__main__":
    main()
