"""Write the page of a classifier: what it tells apart, what it confuses, and how sure it is."""
