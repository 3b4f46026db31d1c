"""Which candidates deserve a label, and why the others do not. Pure code."""
