"""Pages for people, made from results; one page builder for all. Nothing here changes a result."""
