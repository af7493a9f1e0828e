"""What bundles and their measurements say, as one page for people, Markdown for a README, or JSON."""
