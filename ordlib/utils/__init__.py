"""What every layer needs: files that are whole or not there, and the device."""
