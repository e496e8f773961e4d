"""Running, building and checking the notebooks: what stands behind ``ordlib course``.

Everything here needs the course tools (``pip install "ordlib[course]"``), except
``repo_url``, which needs nothing.
"""
