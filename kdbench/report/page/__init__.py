"""The page: a grid's tables, figures and provenance as one file that needs no network."""
