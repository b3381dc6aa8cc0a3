"""What the commands do once their options are read; ``ingest_worker.cli`` reads them."""
