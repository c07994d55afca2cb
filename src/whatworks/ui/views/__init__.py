"""What each page shows, as plain records: HTML and JSON are made of the same."""
