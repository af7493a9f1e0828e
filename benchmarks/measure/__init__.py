"""How one variant is measured: sampling, circumstances, cost."""
