"""What to say about the exercises: common mistakes, and what to ask next."""

INSTRUCTOR_NOTES: dict[str, str] = {}
