"""The course: exercise checks, figures, explorers, and what runs and builds the notebooks."""
