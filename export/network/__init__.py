"""The float network in memory, as formats and passes take it. Lives in child processes."""
