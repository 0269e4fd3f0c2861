"""Parse the command line, run one verb, and turn errors into texts and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import cm4storage
from cm4storage.core import lifeline
from cm4storage.core.errors import ExitCode, StorageBenchmarkError, UsageError
from cm4storage.core.waiting import STOP, Terminated
from cm4storage.report.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "workload": "resolve a workload: a stock one by name, or any DLIO YAML",
    "validate": "explain a workload, and name all that is wrong with it",
    "generate": "find or generate the data set of a workload",
    "verify": "check a data set against its manifest",
    "run": "run the loader with emulated accelerators",
    "checkpoint": "write and read the checkpoints of a model",
    "sweep": "run a workload at many points, each once",
    "dlio": "run what a command line of dlio_benchmark asks for",
    "report": "compute the figures of a run and write its reports",
    "compare": "judge new runs by a baseline, metric by metric",
    "goldens": "check the code against reference reports, or write them anew",
    "explore": "show many runs, ours and published ones, on one page",
    "check": "find out what a storage backend can do",
    "oplog": "show an operation log",
    "serve": "keep an embedded server in the foreground",
}


class Verb(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's options."""

    def execute(self, args: argparse.Namespace, console: Console) -> int:
        """Do the work; return the exit code."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, advice=f"see: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console, verbose = Console(), "-v" in arguments or "--verbose" in arguments
    try:
        return _run_or_stop(arguments)
    except StorageBenchmarkError as error:
        console.complain(error.render())
        return int(error.exit_code)
    except KeyboardInterrupt:
        console.complain("interrupted")
        return int(ExitCode.INTERRUPTED)
    except Terminated:
        console.complain("stopped: the run was ended")
        return int(ExitCode.TERMINATED)
    except BrokenPipeError:
        return int(ExitCode.USER)
    except Exception as error:  # noqa: BLE001 - the last resort, shown as a defect of ours
        _show_defect(error, console, verbose=verbose)
        return int(ExitCode.INTERNAL)


def _run_or_stop(arguments: list[str]) -> int:
    """Run, and let a request to stop prevail over what has become of it on its way.

    An import that it breaks off may end in another error: that of a compiled module, or of a
    package that takes each failure of its imports for one of its installation.
    """
    try:
        return _run(arguments)
    except Exception:
        STOP.check()
        raise


def _run(arguments: list[str]) -> int:
    verb, rest = _split(arguments)
    STOP.listen(signal.SIGTERM, Terminated)  # to SIGINT the program listens before any import
    module: Verb = importlib.import_module(f"cm4storage.cli.{verb}")
    STOP.check()
    parser = _Parser(prog=f"cm4storage {verb}", description=VERBS[verb], allow_abbrev=False)
    module.add_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no remarks and no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks of defects")
    args = parser.parse_intermixed_args(rest)
    lifeline.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
    return module.execute(args, Console(quiet=args.quiet))


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    parser = _Parser(
        prog="cm4storage",
        description="Reproducible MLPerf Storage benchmarking.",
        epilog="cm4storage VERB --help explains a verb.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=cm4storage.__version__)
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True, prog="cm4storage")
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, add_help=False)
    known, _ = parser.parse_known_args(arguments[:1])
    return str(known.verb), arguments[1:]


def _show_defect(error: Exception, console: Console, *, verbose: bool) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_of_the_user(frame.filename)]
    frame = own[-1] if own else frames[-1]
    if own:
        cause = "a part of your own raised this"
        advice = "mend it; -v shows how it was called"
    else:
        cause = "this is a defect of cm4storage"
        advice = "run the command with -v and report what it prints"
    console.complain(
        f"error: {type(error).__name__}: {error}\n"
        f"  where: {frame.filename}, line {frame.lineno}, in {frame.name}\n"
        f"  cause: {cause}\n"
        f"  to do: {advice}"
    )
    if verbose:
        console.complain("".join(traceback.format_exception(error)))


def _is_of_the_user(file_name: str) -> bool:
    """Tell whether a file is neither of this package nor of Python's installation."""
    import sysconfig

    paths = sysconfig.get_paths()
    places = [str(Path(cm4storage.__file__).parent), paths["stdlib"], paths["purelib"]]
    places += [paths["platlib"], "<"]  # <frozen importlib._bootstrap> and their like
    return not file_name.startswith(tuple(places))
