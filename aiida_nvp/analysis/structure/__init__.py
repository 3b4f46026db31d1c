"""Structure of a glass: distances, bonds and networks."""
