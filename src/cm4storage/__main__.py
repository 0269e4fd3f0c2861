"""Run the command line as ``python -m cm4storage``."""

from __future__ import annotations

import os
import signal
import sys

from cm4storage.core.waiting import STOP, Terminated


def _let_blas_sleep() -> None:
    """Let the threads that numpy starts for its BLAS sleep until they have something to do.

    Else each of them spins for some 0.1 s at every start, on a core that others may need.
    """
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2**4 cycles; the default is 2**26


def _end_quietly() -> None:
    """Let a signal raise nothing any more: there is nothing left to be cleaned up."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pass_over_signals(unraisable: sys.UnraisableHookArgs) -> None:
    """Show what could not be raised, unless it is a signal's: that is noted, and raised later."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt | Terminated):
        sys.__unraisablehook__(unraisable)


def run() -> None:
    """Run the command line as the program of this process.

    A signal ends it without a traceback at any moment: while modules are being imported, and while
    the interpreter shuts down, when nothing is left to be interrupted.
    """
    code = 130
    _let_blas_sleep()
    sys.unraisablehook = _pass_over_signals
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is under nohup
            STOP.listen(signal.SIGINT, KeyboardInterrupt)
        from cm4storage.cli import main

        code = main()
        _end_quietly()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
    except Terminated:  # after the command line has returned, but before the line above
        code = 143
    except Exception:
        if not STOP.is_asked:  # else an import has made another error of the interruption
            raise
        sys.stderr.write("interrupted\n")
    _end_quietly()
    if code in (130, 143):
        # Who ends a run does not wait for threads that hang in a request to a silent service.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
