"""What was tried and is not in use; each module says why in its docstring, and prints the figures again."""
