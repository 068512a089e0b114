"""`python -m audiotag` is the `audiotag` command."""

from audiotag.cli import main

main()
