"""What the commands do once their options are read; ``encoder.cli`` reads them."""
