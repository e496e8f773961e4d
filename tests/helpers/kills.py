"""How often tests of interruptions kill a process; ORDLIB_KILLS=25 is what was tried once."""

import os

KILLS = int(os.environ.get("ORDLIB_KILLS", "6"))
