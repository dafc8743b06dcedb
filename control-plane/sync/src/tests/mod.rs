//! The stream and the fleet over control nodes in memory.

mod deltas;
mod fleet;
mod stream;
