"""What a bundle was made of and by: a provenance statement (in-toto, SLSA), a bill of materials (CycloneDX).

Neither holds a time, a random number, or more of a path than its last name: the same inputs, options and
packages give the same bytes. Both are plain facts; that they are true, whoever signs the bundle vouches for.
"""
