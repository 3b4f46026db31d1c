"""What a first-principles label means: level of theory, triage, starting state, rehearsal potential. Pure code."""
