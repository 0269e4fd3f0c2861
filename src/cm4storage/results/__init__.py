"""Records of a run, the figures computed from them, and the files that tools read."""
