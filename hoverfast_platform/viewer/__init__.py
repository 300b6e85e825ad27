"""The browser's door: a slide and all its nuclei, looked at, judged and corrected on a page.

``app.viewer_app`` is the web application, which another one can mount; ``library`` knows which
slides and results there are; the page itself is in ``front_end`` and built into ``static``.
"""
