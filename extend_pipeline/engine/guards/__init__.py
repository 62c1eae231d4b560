"""What must hold on this machine before money is spent: the ledger, the keys, the clock, the disks, the files."""
