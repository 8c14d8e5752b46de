"""Measures, intervals, tables, plots."""
