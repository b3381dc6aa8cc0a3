"""``python -m lithoscope``."""

from lithoscope.command import main

main()
