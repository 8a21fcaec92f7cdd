"""Back-tests in a notebook: `tickloop.backtest(...)` over frames and arrays, by the functions that the command uses."""
