"""Damage on the way is noticed: while reading by whoever knows the right bytes, or by digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jobs import LARGE, SMALL, made, run, workload_of
from proxy import Fault, always, first

from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.verdict import verify_contents

if TYPE_CHECKING:
    from messages import Request
    from proxy import FaultyProxy

    from cm4storage.storage.location import StoreLocation

WITHOUT_CHECKSUMS = ("npy", "hdf5", "csv", "indexed_binary")
WITH_CHECKSUMS = ("npz", "tfrecord", "png", "jpeg", "parquet")


def is_data_read(request: Request) -> bool:
    return (
        request.method == "GET" and "/train/" in request.path and "list-type" not in request.query
    )


def is_data_write(request: Request) -> bool:
    return request.method == "PUT" and "/train/" in request.path


@pytest.mark.parametrize("file_format", WITHOUT_CHECKSUMS)
def test_a_flip_on_the_way_is_read_again(
    direct: StoreLocation, place: StoreLocation, proxy: FaultyProxy, file_format: str
) -> None:
    workload = workload_of(f"dataset.format={file_format}")
    _, rows = run(workload, direct)
    proxy.script = first(Fault.FLIPPED_ANSWER, is_data_read, count=2)
    report, again = run(workload, place)
    assert proxy.harmed == [Fault.FLIPPED_ANSWER] * 2
    assert again == rows
    assert report.to_json()["retries"] == 2


@pytest.mark.parametrize("file_format", WITHOUT_CHECKSUMS)
def test_a_flip_that_stays_is_an_error(
    direct: StoreLocation, place: StoreLocation, proxy: FaultyProxy, file_format: str
) -> None:
    workload = workload_of(f"dataset.format={file_format}")
    made(workload, direct)
    proxy.script = always(Fault.FLIPPED_ANSWER, is_data_read)
    with pytest.raises(StorageFault, match="do not match its digest after 2 retries"):
        run(workload, place)


@pytest.mark.parametrize("file_format", WITH_CHECKSUMS)
def test_a_format_that_checks_itself_tells_a_flip(
    direct: StoreLocation, place: StoreLocation, proxy: FaultyProxy, file_format: str
) -> None:
    workload = workload_of(f"dataset.format={file_format}")
    made(workload, direct)
    proxy.script = always(Fault.FLIPPED_ANSWER, is_data_read)
    with pytest.raises(StorageFault, match=r"damaged data|cannot read"):
        run(workload, place)


@pytest.mark.parametrize("base", [SMALL, LARGE], ids=["one request", "parts"])
@pytest.mark.parametrize("file_format", ["npy", "npz", "hdf5"])
def test_an_upload_that_is_damaged_on_its_way_is_noticed_when_it_is_read(
    direct: StoreLocation, place: StoreLocation, proxy: FaultyProxy, base: str, file_format: str
) -> None:
    workload = workload_of(f"dataset.format={file_format}", base)
    proxy.script = first(Fault.FLIPPED_REQUEST, is_data_write)
    made(workload, place)
    assert proxy.harmed == [Fault.FLIPPED_REQUEST]
    with pytest.raises(StorageFault, match=r"do not match its digest|damaged data"):
        run(workload, direct)
    with open_dataset(workload.workload, direct) as dataset:
        verdict = verify_contents(dataset.store, dataset.manifest, NoProgress(), 2)
    assert verdict.problems == 1


def test_an_upload_that_is_cut_on_its_way_is_noticed_at_once_or_before_it_is_used(
    direct: StoreLocation, place: StoreLocation, proxy: FaultyProxy
) -> None:
    large = workload_of("dataset.format=npy", LARGE)
    proxy.script = first(Fault.SMALLER_REQUEST, is_data_write)
    with pytest.raises(StorageFault, match=r"cannot write the object"):
        made(large, place)
    small = workload_of("dataset.format=npy")
    proxy.script = first(Fault.SMALLER_REQUEST, is_data_write)
    made(small, place)
    with (
        pytest.raises(StorageFault, match="not as its manifest says"),
        open_dataset(small.workload, direct),
    ):
        pass
    assert made(small, direct).generated  # repairs it
    run(small, direct)
