//! Who a node is, whom it trusts, and the only way to talk to another: certificates, join tokens, sealing, channels
//! and listeners.
//!
//! Promise: every connection between nodes, and from operators, is made by [`Dialer`] and taken by [`Listener`];
//! without TLS neither leaves loopback unless told so; with TLS both sides verify that the other belongs to the same
//! cluster and has the role it should have; a gRPC method that is not in the one table of [`roles`] is refused.
//! A node renews its certificate while it runs, and no connection ends for it; one that was removed is refused.
//! Absent: the table of operators (replicated state), rotation of the CA.

mod address;
mod authority;
mod channel;
mod connection;
mod credentials;
mod dialer;
mod failure;
mod files;
mod folder;
mod founding;
mod identity;
mod join;
mod join_token;
mod keyring;
mod layers;
mod listener;
mod operator;
mod peer;
mod renewal;
mod revoked;
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
pub use credentials::{Credentials, Validity};
pub use dialer::{Dialer, OperatorProof, Plaintext, Purpose, ServerTrust};
pub use failure::IdentityFailure;
pub use files::{read_secret, write_public, write_secret};
pub use folder::keep_removal;
pub use founding::{Founding, FoundingRequest, found, new_node_id, reseal_cluster};
pub use identity::{Identity, Trust};
pub use join::{Join, Joined, join};
pub use join_token::{JoinRefused, JoinToken, admit};
pub use keyring::Keyring;
pub use layers::{Gate, Gated, PeerGate, PeerLayer, RolesGate, RolesLayer, Seen, grpc_server};
pub use listener::{Door, Incoming, Listener, Port};
pub use operator::{
    BOOTSTRAP, LOCAL, Operator, OperatorCertificate, OperatorRefused, OperatorRole, Operators, Shown,
    check_operator_name, operator_token,
};
pub use peer::{NodeRole, Peer, Role};
pub use renewal::{Renewal, Renewer, Tried};
pub use revoked::{REMOVED_STATUS, Revoked, removed, says_removed};
pub use sealing::{ClusterKey, Sealer, sealing_key};
pub use secret::{Secret, random_token, token_hash};
