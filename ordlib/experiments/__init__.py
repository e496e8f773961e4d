"""Result tables and what makes them, components and pico-clip, and benchmarks."""
