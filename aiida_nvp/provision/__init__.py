"""Profile, engines, pseudopotentials and codes: what `aiida-nvp setup` makes and `doctor` checks."""
