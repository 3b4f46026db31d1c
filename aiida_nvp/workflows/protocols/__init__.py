"""How labels are made at three levels of care, and the way from a level to complete settings."""
