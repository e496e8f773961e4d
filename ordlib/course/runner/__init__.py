"""Execute, build and lint the notebooks: implementation of ``ordlib course``.

Requires the course tools (``pip install "ordlib[course]"``), except ``repo_url``.
"""
