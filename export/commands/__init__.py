"""The subcommands of exporting, one module each: `HELP`, `add_arguments(parser)`, `run(arguments)`."""
