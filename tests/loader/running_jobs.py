"""What several tests of the loader need: a data set on local files, and a run over it."""

from __future__ import annotations

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess


def folder_of(workload, root):
    """Generate the data set, and return its folder."""
    return prepare(workload, root, NoProgress(), lambda _line: None).location.path


def run(workload, root, *, limits=None, conduct=None, plugins=None, once_open=lambda: None):
    """Run a workload whose data set exists; `once_open` is called when that was checked."""
    with open_dataset(workload, root) as dataset:
        once_open()
        trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress(), conduct, plugins)
        return trainer.run(limits or Limits())
