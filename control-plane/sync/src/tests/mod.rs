//! The stream and the fleet over control nodes in memory.

mod fleet;
mod stream;
