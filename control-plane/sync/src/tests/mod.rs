//! The stream and the fleet over control nodes in memory.

mod deltas;
mod detached;
mod fleet;
mod stream;
