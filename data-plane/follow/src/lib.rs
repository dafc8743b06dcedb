//! Config subscription, last-good copy on disk, compile and swap.
