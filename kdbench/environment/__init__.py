"""What a result depends on beside its configuration: versions, device, commit, and the sources of plugins."""

from kdbench.environment.commit import git_commit

__all__ = ["git_commit"]
