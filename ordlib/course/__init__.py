"""Course: exercise checks, figures, interactive figures, notebook runner and builder."""
