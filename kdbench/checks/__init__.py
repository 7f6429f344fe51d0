"""Conformance: what every method must keep to, as checks that judge anybody's."""
