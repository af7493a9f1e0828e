"""What files with 16-bit weights take beside those with 32 bits, here and in LiteRT.js."""
