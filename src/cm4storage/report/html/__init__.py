"""``report.html``: one file that shows a run, without a network and without other files."""
