"""How often tests of interruptions kill a process; up to ORDLIB_KILLS=100 was tried."""

import os

KILLS = int(os.environ.get("ORDLIB_KILLS", "4"))
