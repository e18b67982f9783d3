"""The subcommands of addcow-conformance, a module each; `cli_suite` loads the one that is asked for."""
