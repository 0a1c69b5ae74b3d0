"""The command `user-gym`: one file per subcommand, each with `add` (its arguments) and a function that runs it."""
