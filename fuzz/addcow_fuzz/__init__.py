"""Fuzzers of add-cow images, of the engine and of other implementations, and campaigns with them."""
