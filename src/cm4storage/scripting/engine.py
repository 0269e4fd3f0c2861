"""Runs a recipe: dependencies first, then its key, then the cache or its phases."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError, UserError, is_secret_name
from cm4storage.scripting.cache import CacheStore, DamagedEntryError, Entry, new_entry, texts_in
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import (
    LOCAL_ENV_KEYS,
    exported_text,
    is_unresolved,
    matches_any,
    merge,
    selected,
    substitute,
    without,
)
from cm4storage.scripting.failures import log_named
from cm4storage.scripting.guards import guarded
from cm4storage.scripting.inputs import (
    check_variables,
    is_secret,
    refuse_unknown,
    refuse_unknown_names,
    secrets_of_call,
)
from cm4storage.scripting.keys import Identity, Key, identity_of, key_of, stored_parts
from cm4storage.scripting.later import later_of
from cm4storage.scripting.misses import explain_miss
from cm4storage.scripting.own_flags import cache_tags, is_cached, with_own_flags
from cm4storage.scripting.phases import run_phases
from cm4storage.scripting.prepare import (
    Call,
    Prepared,
    dependency_call,
    prepare,
)
from cm4storage.scripting.reach import known_inputs, own_names, reach_of, specs_of_variables
from cm4storage.scripting.rerun import recipe_tags, rerun_command
from cm4storage.scripting.session import Outcome, Session, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.catalog import RecipeCatalog
    from cm4storage.scripting.metadata import Dependency, Recipe
    from cm4storage.scripting.uses import EntryUses

_MAX_DEPTH = 64
_Outputs = tuple[dict[str, Any], dict[str, Any]]


class Engine:
    """Runs recipes of a catalog within one session."""

    def __init__(
        self, catalog: RecipeCatalog, cache: CacheStore, uses: EntryUses, session: Session
    ) -> None:
        self._catalog = catalog
        self._cache = cache
        self._uses = uses
        self._session = session
        self._located: StorageBenchmarkError | None = None

    def run(self, call: Call) -> Outcome:
        """Run the recipe that `call` asks for, or take its result from the cache.

        Raises
        ------
        StorageBenchmarkError
            Names the chain of recipes.
        Interrupted
            If a signal came.
        """
        self._session.guard.check()
        with self._chain_named(call):
            recipe = self._catalog.load(
                self._catalog.find(call.query, call.repository, is_dependency=not call.is_top)
            )
        with self._session.stopwatch.lap(recipe.alias), self._chain_named(call, recipe.alias):
            prepared = self._prepare(recipe, call)
            if prepared.dependencies["deps"]:
                self._session.console.recipe(len(call.chain), _label(prepared))
            identities = self._run_dependencies(prepared, "deps")
            return self._finish(prepared, identities)

    def _prepare(self, recipe: Recipe, call: Call) -> Prepared:
        if call.is_top:
            call = self._checked(recipe, call)
        self._session.shade.hide(own_names(recipe))
        prepared = prepare(recipe, call, self._session.caller_folder)
        if len(call.chain) > _MAX_DEPTH or call.chain.count(recipe.alias) > 1:
            raise UserError("a recipe depends on itself", where=" > ".join(prepared.chain))
        if prepared.inputs:
            self._take_known_inputs(prepared)
        if call.add_deps_recursive:
            reach = reach_of(self._catalog, recipe, prepared.add_deps_recursive)
            prepared.known_names = frozenset(reach.dependency_names)
        self._session.fingerprints.volatile.update(recipe.volatile_env_keys)
        self._session.console.hide(
            exported_text(value)
            for name, value in prepared.env.items()
            if is_secret(name, prepared.specs.get(name)) and value
        )
        return prepared

    def _checked(self, recipe: Recipe, call: Call) -> Call:
        """Return the user's call with its variables checked, like the inputs that they stand for.

        The host's variables that recipes of the run know as theirs are hidden from here on.
        """
        reach = reach_of(self._catalog, recipe, call.add_deps_recursive)
        if reach.is_complete:
            refuse_unknown_names(call.add_deps_recursive, reach.dependency_names)
        for known in reach.recipes:
            self._session.shade.hide(own_names(known))
        call = with_own_flags(call, recipe, reach)
        specs, folder = specs_of_variables(recipe, reach), self._session.caller_folder
        self._session.console.hide(secrets_of_call(call, (recipe, *reach.recipes), specs))
        return replace(
            call,
            env=check_variables(specs, "env", call.env, folder),
            const=check_variables(specs, "const", call.const, folder),
        )

    def _take_known_inputs(self, prepared: Prepared) -> None:
        """Note which of the inputs that are passed on mean something to this recipe."""
        recipe, call = prepared.recipe, prepared.call
        reach = reach_of(self._catalog, recipe, prepared.add_deps_recursive)
        known = known_inputs(recipe, reach)
        if call.is_top:
            refuse_unknown(set(prepared.inputs) - known, known)
        prepared.known_inputs = frozenset(known)

    def _run_dependencies(self, prepared: Prepared, phase: str) -> list[Identity]:
        """Run the dependencies of a phase; their outputs land in the recipe's env and state."""
        identities = []
        for dependency in prepared.dependencies[phase]:
            if not dependency.tags or not takes_part(dependency.conditions, prepared.env):
                continue
            try:
                call = dependency_call(prepared, dependency)
            except UserError:
                if not self._session.options.is_dry:
                    raise
                self._say_unknown(prepared, dependency)
                continue
            outcome = self.run(call)
            merge(prepared.env, copy.deepcopy(dict(outcome.new_env)))
            merge(prepared.state, copy.deepcopy(dict(outcome.new_state)))
            prepared.put_out |= frozenset(outcome.new_env)
            substitute(prepared.env)
            prepared.env.update(prepared.const)
            identities.append(outcome.identity)
        return identities

    def _say_unknown(self, prepared: Prepared, dependency: Dependency) -> None:
        tags = ",".join(dependency.tags)
        self._say(prepared, f"would run {tags}: known when what stands before it has run")

    def _finish(self, prepared: Prepared, identities: list[Identity]) -> Outcome:
        recipe, session = prepared.recipe, self._session
        with session.guard.interruptible():
            later = later_of(self._catalog, prepared, session.fingerprints)
            key = key_of(prepared, identities, session.fingerprints, later)
        skips_cache = prepared.call.is_top and session.options.skips_cache
        keeps = is_cached(recipe, prepared.call, session.options)
        remembers = (keeps and not skips_cache) or recipe.runs_once
        if remembers and key.memo in session.memo:
            self._say(prepared, "reused: it ran before in this call")
            return session.memo[key.memo]
        if keeps and not skips_cache:
            outcome = self._run_cached(prepared, key)
        else:
            self._say(prepared, "run: --skip_cache" if keeps else self._verb())
            outcome = self._run_uncached(prepared, key)
        if remembers:
            session.memo[key.memo] = outcome
        return outcome

    def _verb(self) -> str:
        return "would run" if self._session.options.is_dry else "run"

    def _run_uncached(self, prepared: Prepared, key: Key) -> Outcome:
        if self._session.options.is_dry:
            return self._run_dry(prepared, key)
        outputs = self._run_phases(prepared, self._session.new_folder(prepared.recipe.alias))
        identity = identity_of(prepared, key, outputs, self._session.fingerprints)
        return Outcome(*outputs, identity)

    def _run_dry(self, prepared: Prepared, key: Key) -> Outcome:
        for phase in ("prehook_deps", "posthook_deps", "post_deps"):
            self._run_dependencies(prepared, phase)
        alias = prepared.recipe.alias
        return Outcome({}, {}, Identity(alias, key.digest, key.details, key.doubt, alias))

    def _run_cached(self, prepared: Prepared, key: Key) -> Outcome:
        if key.doubt:
            self._say(prepared, f"{self._verb()}, not cached: {key.doubt}")
            return self._run_uncached(prepared, key)
        if key.pending:
            self._say(prepared, f"would hit or run: known when {key.pending} has run")
            return self._run_dry(prepared, key)
        rebuilds = self._session.options.rebuilds and prepared.call.is_top
        entry, reason = self._look_up(key, prepared, rebuilds=rebuilds)
        if entry is not None:
            return self._hit(prepared, key, entry)
        if self._session.options.is_dry:
            self._say(prepared, f"would run, {reason}")
            return self._run_dry(prepared, key)
        with self._locked(prepared, key) as waited:
            # While we waited, another run may have made exactly this entry.
            entry, reason = self._look_up(key, prepared, rebuilds=rebuilds and not waited)
            if entry is not None:
                return self._hit(prepared, key, entry)
            return self._build(prepared, key, reason)

    @contextlib.contextmanager
    def _locked(self, prepared: Prepared, key: Key) -> Iterator[list[bool]]:
        """Hold the entry's lock; the list is not empty if another run held it."""
        if key.digest in self._session.building:
            raise UserError("a recipe depends on itself", where=" > ".join(prepared.chain))
        waited: list[bool] = []

        def say_waiting() -> None:
            waited.append(True)
            self._say(prepared, "waiting: another run is making the same entry")

        # Whoever has the lock may wait until nobody uses the entry.
        self._uses.release(self._cache.uid_of(key.digest))
        lock = self._cache.lock(key.digest, say_waiting)
        with contextlib.ExitStack() as stack:
            with self._session.guard.interruptible():
                stack.enter_context(lock)
            self._session.building.add(key.digest)
            stack.callback(self._session.building.discard, key.digest)
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
        if entry is not None:
            return entry, ""
        self._uses.release(uid)
        known = self._cache.entries_of(prepared.recipe.uid)
        return None, f"miss: {explain_miss(key.parts, key.details, known)}"

    def _hit(self, prepared: Prepared, key: Key, entry: Entry) -> Outcome:
        same = (
            "variations and inputs" if prepared.recipe.keeps_across_versions else "code and inputs"
        )
        self._say(prepared, f"hit: {entry.uid} of {entry.created}, the same in {same}")
        identity = Identity(prepared.recipe.alias, key.digest, key.details)
        return Outcome(entry.new_env, entry.new_state, identity)

    def _build(self, prepared: Prepared, key: Key, reason: str) -> Outcome:
        self._say(prepared, reason)
        keeps = prepared.recipe.keeps_across_versions
        with (
            self._claimed(prepared, key),
            self._cache.building(key.digest, keeps_contents=keeps) as folder,
        ):
            outputs = self._run_phases(prepared, folder)
            self._commit(prepared, key, folder, outputs)
        return Outcome(*outputs, Identity(prepared.recipe.alias, key.digest, key.details))

    @contextlib.contextmanager
    def _claimed(self, prepared: Prepared, key: Key) -> Iterator[None]:
        """Have the entry for ourselves while it is made; use it like others from then on."""
        uid = self._cache.uid_of(key.digest)

        def say_waiting() -> None:
            self._say(prepared, "waiting: another run uses the entry")

        with self._session.guard.interruptible(), self._cache.faults_explained():
            self._uses.claim(uid, say_waiting)
        try:
            yield
        except BaseException:
            self._uses.release(uid)
            raise
        self._uses.share(uid)

    def _commit(self, prepared: Prepared, key: Key, folder: Path, outputs: _Outputs) -> None:
        volatile = tuple(self._session.fingerprints.volatile)
        new_env = {k: v for k, v in outputs[0].items() if not matches_any(k, volatile)}
        entry = new_entry(
            folder,
            key=key.digest,
            recipe=(prepared.recipe.alias, prepared.recipe.uid),
            tags=(
                *prepared.tags(),
                *cache_tags(prepared.call),
                f"script-artifact-{prepared.recipe.uid}",
            ),
            parts=stored_parts(key),
            outputs=(new_env, outputs[1]),
        )
        obstacle = self._obstacle(entry)
        if obstacle:
            self._say(prepared, f"not cached: {obstacle}")
        else:
            self._cache.commit(entry)

    def _obstacle(self, entry: Entry) -> str:
        """Return why an entry must not be written; "" if it may."""
        secrets = [name for name, value in entry.new_env.items() if is_secret_name(name) and value]
        if secrets:
            return f"its output {secrets[0]} is a secret (name it in volatile_env_keys)"
        try:
            text = json.dumps([entry.new_env, entry.new_state, entry.parts], ensure_ascii=False)
        except (TypeError, ValueError) as error:
            return f"its outputs cannot be written as JSON: {error}"
        if self._session.console.shown(text) != text:
            return "an output holds a secret"
        run_folder = str(self._session.folder)
        if any(run_folder in each for each in texts_in([entry.new_env, entry.new_state])):
            return "an output names the temporary folder of this run"
        return ""

    def _run_phases(self, prepared: Prepared, folder: Path) -> _Outputs:
        def run_dependencies(phase: str) -> None:
            self._run_dependencies(prepared, phase)

        with guarded(self._session, prepared), log_named(self._session):
            run_phases(self._session, prepared, folder, run_dependencies)
        env = {k: v for k, v in prepared.env.items() if not is_unresolved(v)}
        new_env = without(selected(env, prepared.new_env_keys), LOCAL_ENV_KEYS)
        self._session.console.hide(
            exported_text(value) for name, value in new_env.items() if is_secret_name(name)
        )
        return new_env, selected(prepared.state, prepared.new_state_keys)

    def _say(self, prepared: Prepared, decision: str) -> None:
        depth = len(prepared.call.chain)
        self._session.console.recipe(depth, _label(prepared), decision)
        recipe = prepared.recipe
        shown = self._session.console.shown(decision)
        self._session.steps.append(
            Step(
                depth,
                recipe.alias,
                recipe.uid,
                recipe_tags(prepared),
                shown,
                self._session.console.shown(rerun_command(prepared)),
            )
        )

    @contextlib.contextmanager
    def _chain_named(self, call: Call, alias: str = "") -> Iterator[None]:
        """Add the chain of recipes to an error that does not name it yet."""
        try:
            yield
        except StorageBenchmarkError as error:
            chain = " > ".join((*call.chain, alias)) if alias else " > ".join(call.chain)
            if self._located is not error and call.chain and chain not in error.where:
                error.where = f"{error.where}\n{chain}" if error.where else chain
            self._located = error
            raise


def _label(prepared: Prepared) -> str:
    variations: Mapping[str, None] = dict.fromkeys(prepared.variations)
    listed = ",".join(f"_{name}" for name in variations)
    return f"{prepared.recipe.alias} {listed}".rstrip()
