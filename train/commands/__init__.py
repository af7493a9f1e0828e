"""The subcommands of training, one module each: `HELP`, `add_arguments(parser)`, `run(arguments)`."""
