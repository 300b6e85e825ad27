"""Pages for people, made from published results; nothing here changes a result."""
