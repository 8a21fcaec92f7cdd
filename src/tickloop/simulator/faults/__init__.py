"""What goes wrong on order: the board, and what REST and the sockets do when it says so."""
