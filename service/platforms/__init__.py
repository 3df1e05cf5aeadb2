"""One file per platform: how its deliveries are read, its hints followed and its records fetched."""
