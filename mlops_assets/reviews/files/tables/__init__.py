"""Cells from CSV, Excel, JSON, Arrow and Parquet."""
