//! Who a node is, whom it trusts, and the only way to talk to another: certificates, join tokens, sealing, channels
//! and listeners.
//!
//! Promise: every connection between nodes, and from operators, is made by [`Dialer`] and taken by [`Listener`];
//! without TLS neither leaves loopback unless told so; with TLS both sides verify that the other belongs to the same
//! cluster and has the role it should have; a gRPC method that is not in the one table of [`roles`] is refused.
//! Absent: identities and permissions of people, renewal and revocation of certificates, rotation of the cluster key
//! (sealed values name their key, so that it can come).

mod address;
mod authority;
mod channel;
mod connection;
mod dialer;
mod failure;
mod files;
mod folder;
mod founding;
mod identity;
mod join;
mod join_token;
mod layers;
mod listener;
mod peer;
pub mod roles;
mod sealing;
mod secret;
mod tls;
#[cfg(test)]
mod transport_tests;

pub use address::is_loopback;
pub use authority::{Authority, NodeNames, SignedCertificate, certificate_request};
pub use channel::{Channel, status_text};
pub use connection::{Connection, ConnectionPeer, Proof};
pub use dialer::{Dialer, Plaintext, Purpose, ServerTrust};
pub use failure::IdentityFailure;
pub use files::{read_secret, write_public, write_secret};
pub use founding::{Founding, FoundingRequest, found, new_node_id};
pub use identity::{Identity, Trust};
pub use join::{Join, Joined, join};
pub use join_token::{JoinRefused, JoinToken, admit};
pub use layers::{Gate, Gated, PeerGate, PeerLayer, RolesGate, RolesLayer, TokenCheck, grpc_server};
pub use listener::{Door, Incoming, Listener, Port};
pub use peer::{NodeRole, Peer, Role};
pub use sealing::{ClusterKey, Sealer};
pub use secret::{Secret, random_token, token_hash};
