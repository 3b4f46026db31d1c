"""AiiDA data types whose invariants are checked on construction."""
