"""Results tables and the experiments behind them, training of components, benchmarks."""
