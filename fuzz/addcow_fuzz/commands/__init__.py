"""The subcommands of addcow-fuzz, a module each; `cli` loads the one that is asked for."""
