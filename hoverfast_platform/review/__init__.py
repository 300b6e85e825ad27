"""What people judge and correct of a result, kept as a log that only grows.

``log`` holds the edits, ``state`` what they add up to, ``export`` writes it in the format that
``hoverfast corrections`` takes, ``queue`` says where to look first.
"""
