"""How atoms move: displacements and diffusion."""
