"""Teachers beside the labels: trained networks, what they said once, and the wider networks of a step."""
