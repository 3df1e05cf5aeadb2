"""Generator of docs pages: `python -m docs.generator` writes them, a test compares them."""
