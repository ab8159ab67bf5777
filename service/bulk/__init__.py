"""Long evaluations: cut into shards, proved by free workers, written as they are done, and resumed."""
