"""The front door: one command that mounts what each floor offers, and what spans the doors."""

from lithoscope.command import app, main

__all__ = ["app", "main"]
