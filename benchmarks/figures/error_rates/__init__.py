"""How often what the product decides is wrong: of the gate, of `compare`, of what a browser's clock tells."""
