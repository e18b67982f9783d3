"""Judging add-cow images and implementations: the checker, and later the oracle, the models and the suite."""
