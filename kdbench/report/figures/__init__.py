"""Figures, one kind a file. matplotlib is imported where a figure is drawn, so that nothing else waits for it."""
