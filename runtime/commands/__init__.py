"""The runtime's own subcommands, one module each: `HELP`, `add_arguments(parser)`, `run(arguments)`."""
