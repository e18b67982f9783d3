"""The subcommands of addcow-conformance, a module each; `_group` loads the one that is asked for."""
