"""What a machine without a GPU can tell of the tick on one: ``python -m benchmarks.gpu_gate``.

``absent_device`` lets the compiler work for a card that is not there, ``traced`` makes graphs of the ticks,
``programs`` compiles them and counts, ``machine_code`` reads the kernels, ``gate`` says what is wrong with them,
``limits`` holds the counts that may not be exceeded, and ``tick_time`` predicts the time of a tick.
"""
