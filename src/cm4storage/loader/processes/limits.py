"""What reader processes cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.loader.preprocessing import Preprocessing

if TYPE_CHECKING:
    from cm4storage.loader.plugins import Plugins
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.model import Workload


def require_possible(workload: Workload, plugins: Plugins) -> None:
    """Refuse what exists in the main process alone.

    Parameters
    ----------
    workload : Workload
    plugins : Plugins
        Those that the workload names among them.

    Raises
    ------
    UserError
    """
    own = sorted({"reader", "sampler", "loader"} & set(plugins.given()))
    if own:
        raise refusal("they know nothing of a part that is your own", f"the {own[0]}")
    reader = workload.reader
    if reader.read_type != "on_demand":
        raise refusal("each would keep files in memory of its own", "reader.read_type=memory")
    if Preprocessing(workload).is_limited_by_threads:
        where = f"reader.computation_threads={reader.computation_threads}"
        raise refusal("they cannot share fewer calls than there are readers", where)


def require_readable(location: StoreLocation) -> None:
    """Refuse a place of data that reader processes cannot open by themselves.

    Raises
    ------
    UserError
    """
    if not location.is_folder:
        raise refusal("they read files, and no object store", location.uri)
    if location.log is not None:
        raise missing_in_log()


def missing_in_log() -> UserError:
    """Return the error for a log of operations."""
    return refusal("their operations would be missing in the log", "--oplog")


def refusal(why: str, where: str) -> UserError:
    """Return the error."""
    return UserError(
        f"readers cannot be processes here: {why}",
        where=where,
        advice="leave --readers=processes out: threads can do it",
    )
