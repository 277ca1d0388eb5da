"""Trains from more than labels: teachers, their cached logits, and the wider networks of a step."""
