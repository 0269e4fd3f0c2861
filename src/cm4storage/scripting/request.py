"""The input dictionary of ``cm run script`` as a typed request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError
from cm4storage.core.records import dataclass
from cm4storage.scripting.environment import merge
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Mapping

_CMIND_KEYS = (
    *("action", "automation", "artifact", "artifacts", "parsed_automation", "parsed_artifact"),
    *("parsed_artifacts", "cmd", "unparsed_cmd", "out", "common", "ignore_inheritance"),
    *("save_to_json", "cm_debug"),
)
_FLAGS = (
    *("quiet", "q", "v", "verbose", "s", "silent", "j", "json", "new", "renew", "skip_cache"),
    *("fake_run", "print_deps", "help", "h", "f", "force"),
    *("force_cache", "print_env", "save_env", "shell", "time", "repro", "allow_sudo"),
)
_VALUES = (
    *("tags", "env", "const", "state", "adr", "ad", "add_deps_recursive", "add_deps"),
    *("version", "version_min", "version_max", "version_max_usable"),
)
# What belongs to cmind and to this engine. Everything else is an input of a recipe.
_CONTROL_KEYS = frozenset((*_CMIND_KEYS, *_FLAGS, *_VALUES))
OWN_FLAGS = tuple(name for name in (*_FLAGS, *_VALUES) if len(name) > 1)
_FALSE = ("no", "false", "off", "0", "")


@dataclass(frozen=True)
class Versions:
    """The version asked for, or its limits; "" where nothing was said."""

    exact: str = ""
    least: str = ""
    most: str = ""
    most_usable: str = ""


@dataclass(frozen=True)
class Options:
    """The engine's own flags."""

    is_quiet: bool = False
    is_silent: bool = False
    wants_json: bool = False
    wants_help: bool = False
    rebuilds: bool = False
    skips_cache: bool = False
    is_dry: bool = False
    prints_deps: bool = False
    forces_cache: bool = False
    prints_env: bool = False
    saves_env: bool = False
    opens_shell: bool = False
    prints_times: bool = False
    is_recorded: bool = False
    allows_sudo: bool = False

    @property
    def verb(self) -> str:
        """What a run says of a recipe that is not cached."""
        return "would run" if self.is_dry else "run"


@dataclass(frozen=True)
class Request:
    """One call of ``cm run script``."""

    query: Query
    env: Mapping[str, Any]
    const: Mapping[str, Any]
    state: Mapping[str, Any]
    inputs: Mapping[str, Any]
    add_deps: Mapping[str, Mapping[str, Any]]
    add_deps_recursive: Mapping[str, Mapping[str, Any]]
    versions: Versions
    options: Options
    is_result_read: bool = True
    """Whether anybody gets the result: not where a command shows lines to a person."""


def parse_request(given: Mapping[str, Any]) -> Request:
    """Return the request in cmind's input dictionary.

    Raises
    ------
    UsageError
        If a flag of the engine has a value that it cannot have.
    """
    return Request(
        query=_query(given),
        env=_mapping(given, "env"),
        const=_mapping(given, "const"),
        state=_mapping(given, "state"),
        inputs={name: value for name, value in given.items() if name not in _CONTROL_KEYS},
        add_deps=_merged(given, "add_deps", "ad"),
        add_deps_recursive=_merged(given, "add_deps_recursive", "adr"),
        versions=Versions(
            _text(given, "version"),
            _text(given, "version_min"),
            _text(given, "version_max"),
            _text(given, "version_max_usable"),
        ),
        options=_options(given),
        is_result_read=not shows_lines(given),
    )


def is_on(given: Mapping[str, Any], *names: str) -> bool:
    """Tell whether one of these flags is set: ``--flag``, or with any value but no."""
    return any(str(given.get(name, False)).lower() not in _FALSE for name in names)


def wants_json(given: Mapping[str, Any]) -> bool:
    """Tell whether stdout is for one JSON document."""
    return is_on(given, "j", "json") or given.get("out") == "json"


def shows_lines(given: Mapping[str, Any]) -> bool:
    """Tell whether a command shows lines to a person; else somebody gets the result itself."""
    return given.get("out") == "con" and not wants_json(given)


def refuse_unknown_options(given: Mapping[str, Any], known: tuple[str, ...], command: str) -> None:
    """Refuse what a command other than run does not know: a typo must not change its meaning.

    Raises
    ------
    UsageError
        Names the first unknown option, and those that there are.
    """
    general = ("tags", "quiet", "q", "v", "verbose", "s", "silent", "j", "json", "help", "h")
    stray = given.get("artifacts") or ()
    if stray:
        raise UsageError(f"{command} takes no more words: {' '.join(map(str, stray))}")
    unknown = sorted(set(given) - {*_CMIND_KEYS, *general, "f", "force", *known})
    if unknown:
        listed = " ".join(f"--{name}" for name in known)
        raise UsageError(f"{command} has no option --{unknown[0]}", advice=f"it has: {listed} -j")


def _options(given: Mapping[str, Any]) -> Options:
    for name in _FLAGS:
        if isinstance(given.get(name), (dict, list)):
            raise UsageError(f"--{name} is a flag, not {given[name]!r}")
    return Options(
        is_quiet=is_on(given, "quiet", "q"),
        is_silent=is_on(given, "s", "silent"),
        wants_json=wants_json(given),
        wants_help=is_on(given, "help", "h"),
        rebuilds=is_on(given, "new", "renew"),
        skips_cache=is_on(given, "skip_cache"),
        is_dry=is_on(given, "fake_run"),
        prints_deps=is_on(given, "print_deps"),
        forces_cache=is_on(given, "force_cache"),
        prints_env=is_on(given, "print_env"),
        saves_env=is_on(given, "save_env"),
        opens_shell=is_on(given, "shell"),
        prints_times=is_on(given, "time"),
        is_recorded=is_on(given, "repro"),
        allows_sudo=is_on(given, "allow_sudo"),
    )


def _query(given: Mapping[str, Any]) -> Query:
    tags = given.get("tags", "")
    artifact = str(given.get("artifact") or "").strip()
    if not isinstance(tags, (str, list)):
        raise UsageError("--tags needs a value", advice="cm run script --tags=run,dlio,mlperf")
    if given.get("artifacts"):
        raise UsageError(
            "the tags are separated by blanks",
            advice='put them in quotes: cm run script "run dlio mlperf"',
        )
    if " " in artifact or (artifact and "," in artifact and not tags):
        return Query.parse(artifact)
    return Query.parse(tags, artifact.partition(",")[0])


def _mapping(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"--{name} needs a name", advice=f"--{name}.NAME=VALUE")
    return dict(value)


def _merged(given: Mapping[str, Any], *names: str) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        merge(result, _mapping(given, name))
    for dep, update in result.items():
        if not isinstance(update, dict):
            raise UsageError(
                f"--{names[-1]}.{dep} needs a key", advice=f"--{names[-1]}.{dep}.tags="
            )
    return result


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if isinstance(value, (bool, dict, list)):
        raise UsageError(f"--{name} needs a value")
    return str(value).strip()
