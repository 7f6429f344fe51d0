"""Execution on many machines by Ray. Nothing outside this folder knows of Ray."""
