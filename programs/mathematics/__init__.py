"""Programs as mathematics: equations with the symbols of the field, in LaTeX and in SymPy, and back."""
