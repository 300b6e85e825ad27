"""The door for browsers: a page on which people look at a slide and its nuclei, and correct them.

``app.viewer_app`` is the web application, which another one can mount; ``library`` knows which
slides and results there are; the page itself is in ``front_end`` and built into ``static``.
"""
