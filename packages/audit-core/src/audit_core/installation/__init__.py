"""Installation: what should be in the database, what is there, and the steps from one to the other."""
