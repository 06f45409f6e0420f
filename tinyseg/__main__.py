"""`python -m tinyseg`: the same as the `tinyseg` command."""

from .cli import main

main()
