"""Equations in MathML, which browsers draw without any script."""

from __future__ import annotations


def mathml(latex: str) -> str:
    """Return equations in LaTeX, as `to_latex` of programs and rules writes them, as an element ``<math>``."""
    from latex2mathml import converter

    return converter.convert(latex.replace("{aligned}", "{align*}"), display="block")


__all__ = ["mathml"]
