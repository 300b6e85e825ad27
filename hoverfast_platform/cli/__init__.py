"""Arguments in, engine call, exit code out. One module per command, heavy imports inside it."""
