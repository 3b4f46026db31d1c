"""Stop criteria: evidence in, verdict with reasons out. Pure code."""
