"""Compare reports, metric by metric, under rules that are read from a file."""
