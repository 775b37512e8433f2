"""The command line: parsing, dispatch, printing, exit codes.

One module a command; each has `add(parser)` and `run(arguments) -> exit code`. `main` turns errors
into exit codes and is the only place that does. What several commands read alike is in `options`.
"""
