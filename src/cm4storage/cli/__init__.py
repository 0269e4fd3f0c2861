"""The command line: ``cm4storage VERB``. One module for each verb, imported when it is used."""

from cm4storage.cli.main import main

__all__ = ["main"]
