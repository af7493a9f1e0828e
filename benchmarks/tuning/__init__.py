"""Which engine runs a bundle fastest here, of those that compute it as it was proven?"""
