"""The front door: decides, asks the regions, merges, and tells what happened."""
