"""The reference engine: what the add-cow format means, executable."""
