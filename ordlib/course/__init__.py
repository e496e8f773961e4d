"""Running, building and checking the notebooks: what stands behind the ``ordlib`` command.

Everything here needs the course tools (``pip install "ordlib[course]"``), except
``address``, which needs nothing.
"""
