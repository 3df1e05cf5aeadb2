"""For people at a desk: an embedded store, everything started together, and the demonstration. No pod imports this."""
