"""The door that fills: encodes uploaded scans into the vector index."""
