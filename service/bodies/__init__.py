"""Bodies of deliveries: strict JSON, forms, and references to the values in them."""
