"""Lets several processes train one network: launch, rendezvous, process groups, all-reduced sums and statistics."""
