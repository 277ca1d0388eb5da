"""What a network costs: parameters and multiply-accumulates."""

from netaug.profile.count import Profile, profile

__all__ = ["Profile", "profile"]
