"""Compiler of rules: conditions, operands, operators, templates."""
