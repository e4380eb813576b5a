"""What a person sees of a run: tables in the terminal, curves, pictures and one self-contained page."""
