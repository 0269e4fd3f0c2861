"""What every part of the project shares. Standard library only."""
