"""A simulated exchange: the real cores, links, loop and recovery on a fake network and disk."""
