"""The accuracy gate: a baseline in a file, and a check that says whether what is measured now is worse."""
