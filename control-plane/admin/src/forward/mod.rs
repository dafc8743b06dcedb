//! Any node takes any call: what runs on the leader is carried there.
//!
//! Promise: a unary call of a method that runs on the leader is answered by the leader, whichever node took it, as long
//! as there is one before the caller's deadline; trying again is one request, by its request id. Absent: streams, which
//! run where they were called and propose through [`Peer.Propose`](crate::propose).

pub(crate) mod frame;
mod layer;
mod serve;
#[cfg(test)]
mod tests;

pub use layer::{Forward, ForwardLayer};
pub use serve::PeerCalls;
