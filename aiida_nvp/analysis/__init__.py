"""Structure and transport of the glass from trajectories. Pure code."""
