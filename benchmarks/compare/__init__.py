"""Is one model file slower than another? In pairs of processes, with a proof."""
