"""Recipes whose results have keys: taken from the cache, remembered within a run, or made."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.errors import StorageFault, UserError, is_secret_name
from cm4storage.core.records import replace
from cm4storage.scripting.cache import CacheStore, DamagedEntryError, Entry, new_entry, texts_in
from cm4storage.scripting.environment import exported_text, matches_any, merge
from cm4storage.scripting.keys import Fingerprints, Identity, Key, identity_of, key_of, stored_parts
from cm4storage.scripting.later import later_of
from cm4storage.scripting.metadata import LATER_PHASES
from cm4storage.scripting.session import Outcome, Session
from cm4storage.scripting.uses import EntryUses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.catalog import RecipeCatalog
    from cm4storage.scripting.prepare import Prepared

_PATIENCE_S = 1.0
Outputs = tuple[dict[str, Any], dict[str, Any]]


class Runner(Protocol):
    """What the engine does for this module."""

    def say(self, prepared: Prepared, decision: str) -> None:
        """Show and note what is decided about a recipe."""

    def run_uncached(self, prepared: Prepared) -> Outcome:
        """Run a recipe in a temporary folder; in a dry run only what it depends on."""

    def run_phases(self, prepared: Prepared, folder: Path | None) -> Outputs:
        """Run a recipe's own phases in `folder`."""

    def run_dependencies(self, prepared: Prepared, *phases: str) -> None:
        """Run the dependencies of some phases."""

    def outputs(self, prepared: Prepared) -> Outputs:
        """Return what a recipe hands to the one that asked for it."""


class KeyedRuns:
    """Runs recipes with keys within one session.

    Parameters
    ----------
    cache_folder : Path
        Where the entries are.
    """

    def __init__(
        self, runner: Runner, catalog: RecipeCatalog, cache_folder: Path, session: Session
    ) -> None:
        self._runner = runner
        self._catalog = catalog
        self._cache = CacheStore(cache_folder)
        self._uses = EntryUses(self._cache.locks)
        self._session = session
        self._fingerprints = Fingerprints(session)
        self._memo: dict[str, Outcome] = {}
        self._building: set[str] = set()

    def close(self) -> None:
        """Let go of the entries that this run used."""
        self._uses.close()

    def run(self, prepared: Prepared, identities: list[Identity]) -> Outcome:
        """Return a recipe's result; `identities` are those of its first dependencies."""
        recipe, session = prepared.recipe, self._session
        with session.guard.interruptible():
            later = later_of(self._catalog, prepared, self._fingerprints)
            key = key_of(prepared, identities, self._fingerprints, later)
        skips_cache = prepared.call.is_top and session.options.skips_cache
        remembers = (prepared.is_cached and not skips_cache) or recipe.runs_once
        if remembers and key.memo in self._memo:
            self._runner.say(prepared, "reused: it ran before in this call")
            return self._memo[key.memo]
        if prepared.is_cached and not skips_cache:
            outcome = self._run_cached(prepared, key)
        else:
            self._runner.say(
                prepared, "run: --skip_cache" if prepared.is_cached else session.options.verb
            )
            outcome = self._run_uncached(prepared, key)
        if remembers:
            self._memo[key.memo] = outcome
        return outcome

    def _run_uncached(self, prepared: Prepared, key: Key) -> Outcome:
        outcome, alias = self._runner.run_uncached(prepared), prepared.recipe.alias
        if self._session.options.is_dry:
            identity = Identity(alias, key.digest, key.details, key.doubt, alias)
        else:
            outputs = (outcome.new_env, outcome.new_state)
            identity = identity_of(prepared, key, outputs, self._fingerprints)
        return replace(outcome, identity=identity)

    def _run_cached(self, prepared: Prepared, key: Key) -> Outcome:
        if key.doubt:
            self._runner.say(prepared, f"{self._session.options.verb}, not cached: {key.doubt}")
            return self._run_uncached(prepared, key)
        if key.pending:
            self._runner.say(prepared, f"would hit or run: known when {key.pending} has run")
            return self._run_uncached(prepared, key)
        rebuilds = self._session.options.rebuilds and prepared.call.is_top
        entry, reason = self._look_up(key, prepared, rebuilds=rebuilds)
        if entry is not None:
            return self._hit(prepared, key, entry)
        if self._session.options.is_dry:
            self._runner.say(prepared, f"would run, {reason}")
            return self._run_uncached(prepared, key)
        return self._make(prepared, key, rebuilds=rebuilds)

    def _make(self, prepared: Prepared, key: Key, *, rebuilds: bool) -> Outcome:
        with self._locked(prepared, key) as waited:
            # While we waited, another run may have made exactly this entry.
            renews = rebuilds and not waited
            entry, reason = self._look_up(key, prepared, rebuilds=renews)
            if entry is not None:
                return self._hit(prepared, key, entry)
            is_ours = self._claim(prepared, key, waits=renews)
            if is_ours or prepared.recipe.keeps_across_versions:  # which removes nothing
                return self._build(prepared, key, reason)
        self._runner.say(
            prepared, "run, not cached: the entry was damaged, and another run uses it"
        )
        return self._run_uncached(prepared, key)

    @contextlib.contextmanager
    def _locked(self, prepared: Prepared, key: Key) -> Iterator[list[bool]]:
        """Hold the entry's lock; the list is not empty if another run held it."""
        if key.digest in self._building:
            raise UserError("a recipe depends on itself", where=" > ".join(prepared.chain))
        waited: list[bool] = []

        def say_waiting() -> None:
            waited.append(True)
            self._runner.say(prepared, "waiting: another run is making the same entry")

        # Whoever has the lock may wait until nobody uses the entry.
        self._uses.release(self._cache.uid_of(key.digest))
        lock = self._cache.lock(key.digest, say_waiting)
        with contextlib.ExitStack() as stack:
            with self._session.guard.interruptible():
                stack.enter_context(lock)
            self._building.add(key.digest)
            stack.callback(self._building.discard, key.digest)
            self._cache.recover(key.digest)
            yield waited

    def _look_up(self, key: Key, prepared: Prepared, *, rebuilds: bool) -> tuple[Entry | None, str]:
        if rebuilds:
            return None, "miss: a new entry was asked for"
        uid = self._cache.uid_of(key.digest)
        if self._cache.has(key.digest) and not self._uses.share(uid):
            return None, "miss: another run is making it"
        try:
            entry = self._cache.find(key.digest)
        except DamagedEntryError as damage:
            return None, f"miss: the entry was damaged and is made again: {damage}"
        # It may have come between the two looks.
        reason = "" if entry is None or self._uses.share(uid) else "another run is making it"
        reason = reason or self._why_not(key, prepared, entry)
        if not reason:
            return entry, ""
        self._uses.release(uid)
        return None, f"miss: {reason}"

    def _why_not(self, key: Key, prepared: Prepared, entry: Entry | None) -> str:
        """Return why an entry is not taken; "" if it is."""
        if entry is not None:
            moved = _moved_files(prepared, entry)
            return moved and f"{moved} is another file of the same content, and outputs name it"
        from cm4storage.scripting.misses import explain_miss  # only a miss needs it

        known = self._cache.entries_of(prepared.recipe.uid)
        return explain_miss(key.parts, key.details, known)

    def _hit(self, prepared: Prepared, key: Key, entry: Entry) -> Outcome:
        same = (
            "variations and inputs" if prepared.recipe.keeps_across_versions else "code and inputs"
        )
        self._runner.say(prepared, f"hit: {entry.uid} of {entry.created}, the same in {same}")
        if prepared.is_dynamic:
            return self._run_dynamic(prepared, key, entry)
        return _of_key(prepared, key, entry.new_env, entry.new_state)

    def _run_dynamic(self, prepared: Prepared, key: Key, entry: Entry) -> Outcome:
        """Run the dependencies that run on a hit, too; what they put out is newer than the entry.

        Those before run.sh come first, and do not change what the entry holds.
        """
        for phase in LATER_PHASES:
            listed = prepared.dependencies[phase]
            prepared.dependencies[phase] = [dep for dep in listed if dep.dynamic]
        self._runner.run_dependencies(prepared, "prehook_deps")
        merge(prepared.env, copy.deepcopy(dict(entry.new_env)))
        merge(prepared.state, copy.deepcopy(dict(entry.new_state)))
        self._runner.run_dependencies(prepared, "posthook_deps", "post_deps")
        return self._outcome(prepared, key, self._runner.outputs(prepared))

    def _outcome(self, prepared: Prepared, key: Key, outputs: Outputs) -> Outcome:
        """Return an outcome that stands for its outputs, since they are not always the same."""
        identity = identity_of(prepared, key, outputs, self._fingerprints)
        return Outcome(prepared.recipe.alias, *outputs, identity)

    def _build(self, prepared: Prepared, key: Key, reason: str) -> Outcome:
        self._runner.say(prepared, reason)
        keeps, uid = prepared.recipe.keeps_across_versions, self._cache.uid_of(key.digest)
        try:
            with self._cache.building(key.digest, keeps_contents=keeps) as folder:
                outputs = self._runner.run_phases(prepared, folder)
                outputs = self._commit(prepared, key, folder, outputs)
        except BaseException:
            self._uses.release(uid)
            raise
        self._uses.share(uid)
        if prepared.is_dynamic or prepared.doubt:  # as on a hit, or not to be relied upon
            return self._outcome(prepared, key, outputs)
        return _of_key(prepared, key, *outputs)

    def _claim(self, prepared: Prepared, key: Key, *, waits: bool) -> bool:
        """Have the entry for ourselves, to make it; False if another run uses what is there.

        Only a renewal waits for that run: of two runs that use an entry each and find the other's
        damaged, both would wait for ever.
        """
        uid = self._cache.uid_of(key.digest)

        def say_waiting() -> None:
            self._runner.say(prepared, "waiting: another run uses the entry")

        with self._session.guard.interruptible(), self._cache.faults_explained():
            if not waits:
                return self._uses.try_claim(uid, _PATIENCE_S)
            self._uses.claim(uid, say_waiting)
        return True

    def _commit(self, prepared: Prepared, key: Key, folder: Path, outputs: Outputs) -> Outputs:
        """Write the entry if it may be; return the outputs as a hit will give them."""
        from cm4storage.scripting.toolbox.habits import cache_tags

        volatile = tuple(self._session.volatile)
        new_env = {k: v for k, v in outputs[0].items() if not matches_any(k, volatile)}
        entry = new_entry(
            folder,
            key=key.digest,
            recipe=(prepared.recipe.alias, prepared.recipe.uid),
            tags=(*cache_tags(prepared), f"script-artifact-{prepared.recipe.uid}"),
            parts=stored_parts(key) | {"files": _files_put_out(prepared, outputs)},
            outputs=(new_env, outputs[1]),
        )
        obstacle = prepared.doubt or self._edited(prepared, key) or self._obstacle(entry)
        if obstacle:
            self._runner.say(prepared, f"not cached: {obstacle}")
            if not prepared.recipe.keeps_across_versions:
                # Outputs may be paths in there, so it stays to the end of the run.
                self._session.closing.callback(self._forget, key)
            return outputs
        self._cache.commit(entry)
        # A number as a key of the state has become a text, as it will be for the next run.
        read_back: list[dict[str, Any]] = json.loads(json.dumps(outputs))
        return read_back[0], read_back[1]

    def _forget(self, key: Key) -> None:
        """Remove the folder of an entry that was not written, unless another run makes it now."""

        def leave_alone() -> None:
            raise BlockingIOError

        with (
            contextlib.suppress(BlockingIOError, StorageFault, DamagedEntryError),
            self._cache.lock(key.digest, leave_alone),
        ):
            if self._cache.find(key.digest) is None:
                self._cache.discard(self._cache.entry_folder(key.digest))

    def _edited(self, prepared: Prepared, key: Key) -> str:
        """Return that the recipe is not what it was when its key was made."""
        if "code" not in key.parts:
            return ""
        code = Fingerprints(self._session).code(prepared.recipe)
        return "" if dict(code) == key.parts["code"] else "its code changed while it ran"

    def _obstacle(self, entry: Entry) -> str:
        """Return why an entry must not be written; "" if it may."""
        secrets = [name for name, value in entry.new_env.items() if is_secret_name(name) and value]
        if secrets:
            return f"its output {secrets[0]} is a secret (name it in volatile_env_keys)"
        try:
            text = json.dumps(
                [entry.new_env, entry.new_state, entry.parts], ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError) as error:
            return f"its outputs cannot be written as JSON: {error}"
        if self._session.console.shown(text) != text:
            return "an output holds a secret"
        run_folder = str(self._session.made_folder or "")
        if run_folder and any(
            run_folder in each for each in texts_in([entry.new_env, entry.new_state])
        ):
            return "an output names the temporary folder of this run"
        return ""


def _of_key(
    prepared: Prepared, key: Key, new_env: Mapping[str, Any], new_state: Mapping[str, Any]
) -> Outcome:
    """Return an outcome for which the key alone stands, since it is always the same."""
    alias = prepared.recipe.alias
    return Outcome(alias, new_env, new_state, Identity(alias, key.digest, key.details))


def _files_put_out(prepared: Prepared, outputs: Outputs) -> dict[str, str]:
    """Return the inputs of the type ``file`` whose paths, which are in no key, are in outputs."""
    files = {
        name: exported_text(prepared.env[name])
        for name, spec in prepared.specs.items()
        if spec.type == "file" and prepared.env.get(name)
    }
    texts = list(texts_in(list(outputs)))
    return {name: path for name, path in files.items() if any(path in text for text in texts)}


def _moved_files(prepared: Prepared, entry: Entry) -> str:
    """Return the file that stands elsewhere now than outputs of the entry say; "" if none does."""
    for name, path in entry.parts.get("files", {}).items():
        now = exported_text(prepared.env.get(name, ""))
        if now != path:
            return now
    return ""
