"""Benches: our program and a peer on the same input in the same run, results checked equal first."""
