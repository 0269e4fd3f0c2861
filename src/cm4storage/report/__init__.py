"""What people see: the terminal. Reads events and results only."""
