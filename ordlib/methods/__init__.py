"""The methods, one file each: an architecture and its loss, assembled."""
