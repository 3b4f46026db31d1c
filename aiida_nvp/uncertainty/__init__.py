"""Committee statistics, last-layer features and calibration. Pure code."""
