"""python -m hauberk."""

from hauberk.cli.main import main

main()
