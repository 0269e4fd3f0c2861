"""The verification of a whole data set, and its outcome for people and programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_bytes, format_count
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.verification import ContentCheck, Problem, Sample, differences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cm4storage.core.progress import Progress
    from cm4storage.dataset.manifest import Manifest
    from cm4storage.storage.store import Store

_KEPT: Final = 20


@dataclass(frozen=True)
class Verdict:
    """What a verification has found.

    Attributes
    ----------
    uri : str
    files, total_bytes : int
        What the manifest lists; names and sizes of all were compared.
    read_files, read_bytes : int
        Of how many files the contents were compared, and their size.
    sample : Sample or None
        Which files those were, if not all.
    problems : int
    by_kind : dict
        How many there are of each `Kind`.
    first : tuple of Problem
        The first of them.
    """

    uri: str
    files: int
    total_bytes: int
    read_files: int
    read_bytes: int
    sample: Sample | None
    problems: int
    by_kind: dict[str, int]
    first: tuple[Problem, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        first = [{"key": p.key, "kind": p.kind.value, "what": p.what} for p in self.first]
        sample = asdict(self.sample) if self.sample else None
        plain = {name: value for name, value in vars(self).items() if name != "first"}
        return {**plain, "sample": sample, "first_problems": first}

    def text(self) -> str:
        """Return one line that says what was compared."""
        if not self.read_files:
            return f"{self.files} files are as the manifest says"
        read = f"{format_count(self.read_files, 'file')} ({format_bytes(self.read_bytes)})"
        chosen = f", a sample with seed {self.sample.seed}" if self.sample else ""
        return (
            f"{self.files} files are as the manifest says; the contents of {read} were read{chosen}"
        )

    def require_good(self) -> None:
        """Raise a StorageFault that names the first problems, if there are any."""
        if not self.problems:
            return
        lines = [f"{problem.key}: {problem.what}" for problem in self.first]
        if self.problems > len(lines):
            lines.append(f"and {self.problems - len(lines):,} more")
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.by_kind.items())
        raise StorageFault(
            f"{format_count(self.problems, 'problem')} in the data set: {kinds}",
            where="\n".join([self.uri, *lines]),
            meaning="files were removed, changed or added after the data set was generated",
            advice="remove the files that are named, and run cm4storage generate with the same "
            "--workload and --data_dir: it makes those that are missing",
        )


def verify_names(store: Store, manifest: Manifest) -> Verdict:
    """Compare the names and sizes of all files."""
    return _verdict(store, manifest, differences(store, manifest))


def verify_contents(
    store: Store, manifest: Manifest, progress: Progress, threads: int, sample: Sample | None = None
) -> Verdict:
    """Compare the names and sizes of all files, and the contents of all, or of a sample."""
    check = ContentCheck(store, progress, threads)
    entries = manifests.read_files(store, manifest)
    whole_bytes = manifest.total_bytes
    if sample is not None:
        entries = sample.choose(entries, manifest.files)
        chosen = sample.choose(manifests.read_files(store, manifest), manifest.files)
        whole_bytes = sum(entry.size_bytes for entry in chosen)

    def found() -> Iterable[Problem]:
        yield from differences(store, manifest)
        progress.start("verifying", whole_bytes, "B")
        try:
            yield from check.damaged(entries)
        finally:
            progress.finish()

    return _verdict(store, manifest, found(), check, sample)


def _verdict(
    store: Store,
    manifest: Manifest,
    found: Iterable[Problem],
    check: ContentCheck | None = None,
    sample: Sample | None = None,
) -> Verdict:
    first: list[Problem] = []
    kinds: Counter[str] = Counter()
    for problem in found:
        kinds[problem.kind.value] += 1
        if len(first) < _KEPT:
            first.append(problem)
    return Verdict(
        store.uri,
        manifest.files,
        manifest.total_bytes,
        check.files if check else 0,
        check.read_bytes if check else 0,
        sample,
        kinds.total(),
        dict(kinds),
        tuple(first),
    )
