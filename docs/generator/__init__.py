"""Generator of documentation pages: `python -m docs.generator` writes them."""
