"""Where prices come from: recordings and made markets, as trades, candles, books and tickers of a moment."""
