"""The subcommands for apps and pages, one module each: `HELP`, `add_arguments(parser)`, `run(arguments)`."""
