"""Parts of the pages: each reads widgets, calls services and renders."""
