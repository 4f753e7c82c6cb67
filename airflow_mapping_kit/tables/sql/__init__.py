"""Tables of databases: one partition, or many, replaced in one transaction."""
