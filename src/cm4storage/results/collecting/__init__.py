"""Trees of results, ours and those of MLPerf Storage and DLIO, read into plain data."""
