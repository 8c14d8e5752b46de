"""Results, intervals, tables, plots."""
