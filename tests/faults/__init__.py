"""What happens to our commands when machines, disks and people interfere."""
