"""The pages: each reads widgets, calls services and renders."""
