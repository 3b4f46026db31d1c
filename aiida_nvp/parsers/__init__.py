"""One parser a CalcJob; parsers return exit codes and never raise."""
