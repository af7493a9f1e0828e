"""The subcommands of measuring, one module each: `HELP`, `add_arguments(parser)`, `run(arguments)`."""
