"""Plans, records and sealed files as JSON, Excel, HTML and bytes."""
