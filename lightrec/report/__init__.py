"""The report: sections, pictures, tables and the page."""
