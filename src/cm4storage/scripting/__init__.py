"""The recipe engine behind ``cm run script``. Standard library and PyYAML only."""
