"""What is known of a rock beside its pixels: values, their sources, tables, precedence."""
