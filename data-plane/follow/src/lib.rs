//! Following the cluster's configuration: subscription, last-good copy on disk, compile and swap.
//!
//! Promise: what is served is always one whole revision; within a generation it never goes back; a control node hears of
//! a revision as applied only after every request that begins sees it; with no control node in reach the node serves, and
//! restarts, with what it had last. Nothing here runs on a traffic core: the stream runs on the runtime that calls
//! [`Follower::start`], compiling and dropping on one thread, the disk on another.
//! Absent: leases, reporting usage back, joining (`sluice-identity`).

mod cell;
mod certificate;
mod compiler;
mod disk;
mod fail_point;
mod failure;
mod follower;
mod holding;
mod last_good;
mod meters;
mod order;
mod outage;
mod record;
mod row_store;
mod session;
mod settings;
mod threads;
mod wire;

pub use cell::{Served, SnapshotCell};
pub use failure::FollowFailure;
pub use follower::{FollowStatus, Follower};
pub use order::{Order, Standing};
pub use settings::FollowSettings;
pub use threads::Threads;
pub use wire::Wire;
