"""What this very process hears of the machine, and what it tells: signals, lines, words to its manager."""
