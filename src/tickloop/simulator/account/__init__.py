"""The one account: orders, their matching, balances, and what is kept of them."""
