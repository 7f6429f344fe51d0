"""A whole measurement on one GPU: stages within limits, resumed where they were left, and a few files to take home."""
