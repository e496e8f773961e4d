"""What every layer needs: whole files or none, errors worded alike, and the device."""
