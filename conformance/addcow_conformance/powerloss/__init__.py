"""Loss of power: what it may leave of an image's files, and whether an implementation can live with it."""
