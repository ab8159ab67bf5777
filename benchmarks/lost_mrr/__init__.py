"""How an evaluator can lose MRR without an error: defects switched on one at a time, and the cost of each."""
