"""Jobs behind the proxy: a small data set, and what a run hands over of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import cm4storage
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare

if TYPE_CHECKING:
    from cm4storage.dataset.preparation import Prepared
    from cm4storage.storage.location import StoreLocation

SMALL = (
    "dataset.num_files_train=6 dataset.num_samples_per_file=1 dataset.record_length_bytes=200000 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 reader.read_threads=2 train.computation_time=0 train.epochs=2"
)
LARGE = SMALL + " dataset.num_files_train=2 dataset.record_length_bytes=17000000 train.epochs=1"


def workload_of(params: str = "", base: str = SMALL) -> Any:
    """Return a resolved workload."""
    return cm4storage.load_workload("unet3d_h100", overrides=f"{base} {params}")


def made(workload: Any, place: StoreLocation) -> Prepared:
    """Generate the data set, or find it."""
    return prepare(workload.workload, place, NoProgress(), lambda _line: None, threads=2)


def run(workload: Any, place: StoreLocation, **options: Any) -> tuple[Any, list[str]]:
    """Run by the Python API; return the report and the digests of all rows, in order."""
    rows: list[str] = []

    class Keeper:
        def __init__(self, _workload: object) -> None:
            pass

        def __call__(self, batch: Any, duration_s: float) -> None:
            del duration_s
            rows.extend(hashlib.sha256(row.tobytes()).hexdigest() for row in batch)

    report = cm4storage.run(
        workload,
        data_dir=place.uri,
        endpoint_url=place.endpoint_url,
        plugins=cm4storage.Plugins(compute_step=Keeper),
        **options,
    )
    return report, rows
