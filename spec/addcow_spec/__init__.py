"""The add-cow format, exactly: grammar, model, geometry and rule catalogue. No I/O on images.

The prose is beside this package, in `spec/*.md`.
"""

__version__ = "0.1.0"
