"""What Hopmail does in a second, beside what a web developer would use instead.

`make bench` measures all of it in one run and writes benchmarks/results.md and results.png.
"""
