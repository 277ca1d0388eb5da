"""Write the page of a detector: what it finds, misses and confuses."""
