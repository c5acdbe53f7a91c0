"""`python -m bot`: the same as `netra`."""

from bot.cli import main

main()
