"""Ways to implementations that are not in this process; each module is one, and is loaded by `targets`."""
