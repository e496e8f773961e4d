"""How often tests of interruptions kill a process; ORDLIB_KILLS=25 is what was tried, and 100 for pretraining."""

import os

KILLS = int(os.environ.get("ORDLIB_KILLS", "4"))
