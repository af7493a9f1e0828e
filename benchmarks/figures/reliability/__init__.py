"""What hostile files, manifests and pictures bring the readers to: attacks, a reference, a record."""
