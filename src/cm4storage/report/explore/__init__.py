"""Many runs on one page, and as JSON and CSV for programs."""
