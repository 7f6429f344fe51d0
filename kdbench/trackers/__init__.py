"""Trackers: observers that pass runs on to somewhere else, one a file, off unless asked for."""

from kdbench.trackers.make import TRACKERS, find_tracker, make_tracker

__all__ = ["TRACKERS", "find_tracker", "make_tracker"]
