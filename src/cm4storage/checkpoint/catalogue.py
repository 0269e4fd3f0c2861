"""The checkpoints of one run: save, find the newest complete one, remove old ones.

Below the run's id are ``step_00000010.ckpt`` with the tensors, ``step_00000010.json``, which is its
manifest, and ``latest``, which names the newest. They are written in this order, each of them
complete or not at all, so a checkpoint is there when its manifest is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import cm4storage
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.manifest import Manifest
from cm4storage.checkpoint.restoring import DamagedCheckpoint, read_file, read_tensor
from cm4storage.checkpoint.state import array_of, nested
from cm4storage.checkpoint.writing import write_file
from cm4storage.core.errors import UserError
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from cm4storage.checkpoint.payload import Payload
    from cm4storage.storage.store import Store

_NAME: Final = re.compile(r"step_(\d{8,})\.(ckpt|json)")


@dataclass(frozen=True)
class Found:
    """What there is to restore.

    Attributes
    ----------
    manifest : Manifest or None
        The newest checkpoint that is complete.
    passed_over : tuple of (int, str)
        Newer ones, by their step, and why they cannot be restored.
    """

    manifest: Manifest | None
    passed_over: tuple[tuple[int, str], ...]


class Checkpoints:
    """The checkpoints of one run below the root of a store.

    Parameters
    ----------
    store : Store
    run_id : str
        The first part of all keys.
    encoding : Encoding, optional
        How new ones are written; old ones say themselves how they were.
    """

    def __init__(self, store: Store, run_id: str, encoding: Encoding | None = None) -> None:
        self._store = store
        self._run_id = run_id
        self._encoding = encoding or Encoding()

    def save(
        self,
        step: int,
        payload: Payload,
        *,
        epoch: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write a checkpoint; it is there once this returns, and not a moment before.

        Raises
        ------
        StorageFault
            If the storage fails; the checkpoints of other steps are still there.
        """
        key, manifest_key = self._key(step, "ckpt"), self._key(step, "json")
        # An older one of the same step must not describe the new file.
        self._store.delete(manifest_key)
        origin = {"cm4storage": cm4storage.__version__, **(provenance or {})}
        structure = getattr(payload, "structure", None)
        written = write_file(
            self._store, key, payload, self._encoding, self._header(step, epoch, origin, structure)
        )
        created = datetime.now().astimezone().isoformat(timespec="microseconds")
        manifest = Manifest(self._run_id, step, epoch, created, written, origin, structure)
        self._put(manifest_key, manifest.to_json())
        self._put(
            f"{self._run_id}/latest", json.dumps({"step": step, "manifest": manifest_key}).encode()
        )
        return manifest

    def steps(self) -> list[int]:
        """Return the steps of all complete checkpoints, as far as listing tells, in order."""
        return sorted(step for step, kinds in self._kinds().items() if "json" in kinds)

    def newest(self) -> Found:
        """Find the newest checkpoint whose file has its whole length."""
        return self._newest(self._check_length)

    def newest_intact(self) -> Found:
        """Find the newest checkpoint of which every byte is as it was written."""
        return self._newest(self.verify)

    def verify(self, manifest: Manifest) -> None:
        """Read a checkpoint and compare it with its digests.

        Raises
        ------
        StorageFault
            If a byte has changed; names the tensor and the place.
        """
        read_file(self._store, manifest.file)

    def read(self, manifest: Manifest, name: str) -> npt.NDArray[Any]:
        """Return one tensor, compared; the others are not read. Of bfloat16 the bits, as uint16.

        Raises
        ------
        UserError
            If there is no such tensor.
        StorageFault
            If it is damaged.
        """
        file = manifest.file
        tensor = file.tensors[file.number_of(name)].tensor
        return array_of(tensor, read_tensor(self._store, file, name))

    def state(self, manifest: Manifest) -> Any:
        """Return all of a checkpoint, compared: nested as it was handed in, else by name.

        Raises
        ------
        StorageFault
            If it is damaged.
        """
        tensors = [each.tensor for each in manifest.file.tensors]
        data = [bytearray(tensor.size_bytes) for tensor in tensors]

        def take(number: int, start: int, part: memoryview) -> None:
            data[number][start : start + part.nbytes] = part

        read_file(self._store, manifest.file, take)
        arrays = {
            tensor.name: array_of(tensor, content)
            for tensor, content in zip(tensors, data, strict=True)
        }
        return arrays if manifest.structure is None else nested(manifest.structure, arrays)

    def keep_last(self, count: int, up_to: int | None = None) -> list[int]:
        """Remove all but the newest `count` checkpoints, and what broken-off writing left.

        Parameters
        ----------
        count : int
        up_to : int, optional
            The step that was just saved. Later ones are those that the run was not restored from:
            they neither count, since nothing says that they can be read, nor are they removed.

        Returns
        -------
        list of int
            The steps of the complete ones that are gone.
        """
        kinds = self._kinds()
        steps = sorted(step for step in kinds if up_to is None or step <= up_to)
        complete = [step for step in steps if "json" in kinds[step]]
        kept = complete[-count:] if count else []
        removed = complete[: len(complete) - len(kept)]
        for step in steps:
            if step in kept or (kept and step > kept[-1]):
                continue
            self._store.delete(self._key(step, "json"))  # first: it says that the file is there
            self._store.delete(self._key(step, "ckpt"))
        return removed

    def _newest(self, check: Callable[[Manifest], None]) -> Found:
        passed_over: list[tuple[int, str]] = []
        for step in sorted(self._kinds(), reverse=True):
            try:
                manifest = self._manifest(step)
                check(manifest)
            except (UserError, DamagedCheckpoint) as error:
                passed_over.append((step, error.what))
            else:
                return Found(manifest, tuple(passed_over))
        return Found(None, tuple(passed_over))

    def _manifest(self, step: int) -> Manifest:
        key = self._key(step, "json")
        try:
            with self._store.read(key) as view:
                manifest = Manifest.from_json(bytes(view), f"{self._store.uri}/{key}")
        except MissingObject as error:
            raise UserError("its writing did not end: it has no manifest") from error
        if manifest.step != step:
            raise UserError(f"its manifest is that of step {manifest.step}")
        # The file beside it, also where the run's folder has been copied under another name.
        return replace(manifest, file=replace(manifest.file, key=self._key(step, "ckpt")))

    def _check_length(self, manifest: Manifest) -> None:
        file = manifest.file
        try:
            size_bytes = self._store.stat(file.key).size_bytes
        except MissingObject as error:
            raise UserError("its file is missing") from error
        if size_bytes != file.stored_bytes:
            raise UserError(f"its file has {size_bytes:,} bytes in place of {file.stored_bytes:,}")

    def _kinds(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        prefix = f"{self._run_id}/"
        for item in self._store.list(prefix):
            match = _NAME.fullmatch(item.key[len(prefix) :])
            if match is not None:
                found.setdefault(int(match[1]), set()).add(match[2])
        return found

    def _key(self, step: int, kind: str) -> str:
        return f"{self._run_id}/step_{step:08}.{kind}"

    def _put(self, key: str, content: bytes) -> None:
        self._store.write(key, [memoryview(content)])

    def _header(
        self, step: int, epoch: int | None, provenance: Mapping[str, Any], structure: Any
    ) -> dict[str, str]:
        header = {
            "format": "cm4storage.checkpoint 1",
            "run_id": self._run_id,
            "step": str(step),
            "provenance": json.dumps(provenance),
        }
        if epoch is not None:
            header["epoch"] = str(epoch)
        if structure is not None:
            header["structure"] = json.dumps(structure)
        return header
