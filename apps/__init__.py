"""What a user's own app or page needs to run a bundle: source files, engines for the browser."""
