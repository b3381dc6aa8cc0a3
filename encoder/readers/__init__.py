"""One module per family of file formats; ``encoder.scans.open_scan`` picks by content."""
