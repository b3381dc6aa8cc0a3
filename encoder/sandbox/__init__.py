"""Child processes with limits, for functions that may crash, hang or take all memory."""
