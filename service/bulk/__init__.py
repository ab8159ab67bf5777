"""Evaluations that take long: cut into shards, proved by whoever is free, written as they come, resumed."""
