"""Adapters between the core and the world: settings, stores, pretrained weights."""
