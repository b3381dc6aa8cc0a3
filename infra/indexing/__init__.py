"""Rooms of the vector index: what is stored, and the stores that keep it."""
