"""Files of the package that `kdbench new-method` writes; `$word` is filled in, `$$` is a dollar."""
