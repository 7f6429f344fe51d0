"""What comes from outside: names, text, YAML, the code of plugins; and what is said of it."""
