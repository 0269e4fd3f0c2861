"""Runs a recipe: dependencies first, then its key, then the cache or its phases."""

from __future__ import annotations

import contextlib
import copy
import functools
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageBenchmarkError, UserError, is_secret_name
from cm4storage.core.records import replace
from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import (
    FLAG_KEYS,
    exported_text,
    is_unresolved,
    merge,
    selected,
    substitute,
)
from cm4storage.scripting.failures import log_named
from cm4storage.scripting.inputs import (
    check_variables,
    is_secret,
    refuse_unknown,
    refuse_unknown_names,
    secrets_of_call,
)
from cm4storage.scripting.metadata import LATER_PHASES
from cm4storage.scripting.metadata_files import as_path
from cm4storage.scripting.own_flags import with_own_flags
from cm4storage.scripting.prepare import (
    Call,
    Prepared,
    dependency_call,
    prepare,
)
from cm4storage.scripting.session import Outcome, Session, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.catalog import RecipeCatalog
    from cm4storage.scripting.keyed import KeyedRuns, Outputs
    from cm4storage.scripting.keys import Identity
    from cm4storage.scripting.metadata import Dependency, Recipe

_MAX_DEPTH = 64


class Engine:
    """Runs recipes of a catalog within one session. Close it at the end of the run.

    Parameters
    ----------
    cache_folder : str
        Where the entries of the cache are.
    """

    def __init__(self, catalog: RecipeCatalog, cache_folder: str, session: Session) -> None:
        self._catalog = catalog
        self._cache_folder = cache_folder
        self._session = session
        self._keyed: KeyedRuns | None = None
        self._located: StorageBenchmarkError | None = None

    def close(self) -> None:
        """Let go of the cache's entries that the run used."""
        if self._keyed is not None:
            self._keyed.close()

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
        asks = bool(call.inputs) or self._session.options.forces_cache
        if call.is_top and (asks or _has_what_to_check(recipe, call)):
            call = self._checked(recipe, call)
        self._session.hide_host_variables(recipe)
        prepared = prepare(recipe, call, self._session.caller_folder)
        if len(call.chain) > _MAX_DEPTH:
            raise UserError(
                f"recipes depend on each other more than {_MAX_DEPTH} deep",
                where=" > ".join(prepared.chain),
            )
        if call.chain.count(recipe.alias) > 1:
            raise UserError("a recipe depends on itself", where=" > ".join(prepared.chain))
        if prepared.inputs or call.add_deps_recursive:
            self._take_what_is_known(prepared)
        self._session.volatile.update(recipe.volatile_env_keys)
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
        from cm4storage.scripting.reach import reach_of, specs_of_variables

        reach = reach_of(self._catalog, recipe, call.add_deps_recursive)
        if reach.is_complete:
            refuse_unknown_names(call.add_deps_recursive, reach.dependency_names)
        for known in reach.recipes:
            self._session.hide_host_variables(known)
        call = with_own_flags(call, recipe, reach, self._session.options)
        specs, folder = specs_of_variables(recipe, reach), self._session.caller_folder
        self._session.console.hide(secrets_of_call(call, (recipe, *reach.recipes), specs))
        return replace(
            call,
            env=check_variables(specs, "env", call.env, folder),
            const=check_variables(specs, "const", call.const, folder),
        )

    def _take_what_is_known(self, prepared: Prepared) -> None:
        """Note what of the inputs and changes that are passed on means something from here on."""
        from cm4storage.scripting.reach import known_inputs, reach_of

        recipe, call = prepared.recipe, prepared.call
        reach = reach_of(self._catalog, recipe, prepared.add_deps_recursive)
        known = known_inputs(recipe, reach)
        if call.is_top:
            refuse_unknown(set(prepared.inputs) - known, known)
        prepared.known_names = frozenset(reach.dependency_names)
        prepared.known_inputs = frozenset(known)
        specs = (spec for each in (recipe, *reach.recipes) for spec in each.inputs.items())
        prepared.secret_inputs = frozenset(name for name, spec in specs if spec.is_secret)

    def _run_dependencies(self, prepared: Prepared, phase: str) -> list[Identity]:
        """Run the dependencies of a phase; their outputs land in the recipe's env and state."""
        identities = []
        for dependency in prepared.dependencies[phase]:
            if not dependency.tags or not takes_part(dependency.conditions, prepared.env):
                continue
            if dependency.skip_if_fake_run and self._session.options.is_dry:
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
            if outcome.identity is not None:
                identities.append(outcome.identity)
        return identities

    def _say_unknown(self, prepared: Prepared, dependency: Dependency) -> None:
        tags = ",".join(dependency.tags)
        self.say(prepared, f"would run {tags}: known when what stands before it has run")

    def _finish(self, prepared: Prepared, identities: list[Identity]) -> Outcome:
        if prepared.is_keyed:
            outcome = self._keyed_runs().run(prepared, identities)
        else:
            self.say(prepared, self._session.options.verb)
            outcome = self.run_uncached(prepared)
        if prepared.recipe.raw.get("print_env_at_the_end"):
            from cm4storage.scripting.toolbox.habits import announce

            announce(self._session, prepared.recipe, outcome.new_env)
        return outcome

    def _keyed_runs(self) -> KeyedRuns:
        if self._keyed is None:
            from cm4storage.scripting.keyed import KeyedRuns  # many runs need no key

            folder = as_path(self._cache_folder)
            self._keyed = KeyedRuns(self, self._catalog, folder, self._session)
        return self._keyed

    def run_uncached(self, prepared: Prepared) -> Outcome:
        """Run a recipe in a temporary folder; in a dry run only what it depends on."""
        alias = prepared.recipe.alias
        if self._session.options.is_dry:
            self.run_dependencies(prepared, *LATER_PHASES)
            return Outcome(alias, {}, {})
        folder = self._session.new_folder(alias) if prepared.has_code else None
        return Outcome(alias, *self.run_phases(prepared, folder))

    def run_phases(self, prepared: Prepared, folder: Path | None) -> Outputs:
        """Run a recipe's own phases in `folder`; return what it puts out."""
        if folder is None:
            self.run_dependencies(prepared, *LATER_PHASES)
        else:
            from cm4storage.scripting.guards import guarded  # many recipes have no code
            from cm4storage.scripting.phases import run_phases

            run_dependencies = functools.partial(self.run_dependencies, prepared)
            with guarded(self._session, prepared), log_named(self._session):
                run_phases(self._session, prepared, folder, run_dependencies)
        return self.outputs(prepared)

    def run_dependencies(self, prepared: Prepared, *phases: str) -> None:
        """Run the dependencies of some phases."""
        for phase in phases:
            self._run_dependencies(prepared, phase)

    def outputs(self, prepared: Prepared) -> Outputs:
        """Return what a recipe hands to the one that asked for it."""
        env = {k: v for k, v in prepared.env.items() if not is_unresolved(v)}
        new_env = selected(env, prepared.new_env_keys)
        self._session.console.hide(
            exported_text(value) for name, value in new_env.items() if is_secret_name(name)
        )
        return new_env, selected(prepared.state, prepared.new_state_keys)

    def say(self, prepared: Prepared, decision: str) -> None:
        """Show and note what is decided about a recipe."""
        self._session.console.recipe(len(prepared.call.chain), _label(prepared), decision)
        self._session.steps.append(Step(prepared, decision, self._session.console.shown))

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


def _has_what_to_check(recipe: Recipe, call: Call) -> bool:
    given = (call.env.keys() - {*FLAG_KEYS}, call.const, call.add_deps_recursive)
    return recipe.has_dependencies or any(given)


def _label(prepared: Prepared) -> str:
    variations: Mapping[str, None] = dict.fromkeys(prepared.variations)
    listed = ",".join(f"_{name}" for name in variations)
    return f"{prepared.recipe.alias} {listed}".rstrip()
