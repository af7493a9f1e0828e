"""Networks whose 8-bit files collapse, taken through the product and what a user would take instead."""
