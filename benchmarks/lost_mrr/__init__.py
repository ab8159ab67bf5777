"""How an evaluator can lose MRR without an error: defects switched on one at a time, and what each costs."""
