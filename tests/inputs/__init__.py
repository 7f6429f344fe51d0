"""Files and words from outside: each bad one is refused in a sentence, runs nothing and changes nothing.

`corpus` makes malicious and damaged files of every kind that kdbench reads, at run time and in a temporary folder;
`test_corpus` gives each to its reader, and where a command reads it to the command. `test_fuzz` tries random ones.
`test_count` prints how many there are, for docs/reliability.md.
"""
