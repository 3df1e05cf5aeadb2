"""Request of a delivery: body, decompression, headers."""
