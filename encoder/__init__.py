"""The pure core: a rock image and how it becomes a vector. No network, no service."""
