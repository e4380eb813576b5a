"""Labels by people: what is asked of them, what they answer, and files for other tools."""
