"""The cases, a module for each way to try an implementation; each has ``cases()``."""
