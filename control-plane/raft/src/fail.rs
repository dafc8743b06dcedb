//! Points between two steps of the disk at which a test ends the process, as a kill or a power cut would.
//!
//! Promise: the process ends there by SIGKILL, so that nothing more is run, flushed or told. A build without debug
//! assertions has none of it: it cannot be armed, and `hit` is empty. Absent: errors and delays at a point.

use std::{fmt, str::FromStr};

#[cfg(debug_assertions)]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::RaftFailure;

/// Where a process may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// A vote was asked for and is not written.
    VoteBeforeSync,
    /// A vote is on disk, and nobody was told.
    VoteAfterSync,
    /// Entries were handed over and are not written.
    AppendBeforeSync,
    /// Entries are on disk, and nobody was told.
    AppendAfterSync,
    /// Entries that another leader overruled are cut off on disk, and nobody was told.
    TruncateAfterSync,
    /// The log says what was purged, and the files of it are still there.
    PurgeAfterSync,
    /// A batch is committed, and its effect is not written.
    ApplyBeforeWrite,
    /// The effect of a batch is written, and nobody was told.
    ApplyAfterWrite,
    /// A checkpoint is whole, and has no name.
    CheckpointBeforeName,
    /// A checkpoint has its name, and the log before it is still there.
    CheckpointAfterName,
    /// A received state is whole beside the one in use.
    SnapshotReceived,
    /// The name of the received state is written, and not yet the one that counts.
    SnapshotBeforeSwitch,
    /// A received state is the one in use, and the one before is still there.
    SnapshotAfterSwitch,
}

impl Point {
    const ALL: [(&'static str, Self); 13] = [
        ("vote-before-sync", Self::VoteBeforeSync),
        ("vote-after-sync", Self::VoteAfterSync),
        ("append-before-sync", Self::AppendBeforeSync),
        ("append-after-sync", Self::AppendAfterSync),
        ("truncate-after-sync", Self::TruncateAfterSync),
        ("purge-after-sync", Self::PurgeAfterSync),
        ("apply-before-write", Self::ApplyBeforeWrite),
        ("apply-after-write", Self::ApplyAfterWrite),
        ("checkpoint-before-name", Self::CheckpointBeforeName),
        ("checkpoint-after-name", Self::CheckpointAfterName),
        ("snapshot-received", Self::SnapshotReceived),
        ("snapshot-before-switch", Self::SnapshotBeforeSwitch),
        ("snapshot-after-switch", Self::SnapshotAfterSwitch),
    ];
}

/// The point that is armed on this node, if one is. Clones share how often it was passed.
#[derive(Clone, Default)]
pub struct FailPoints {
    #[cfg(debug_assertions)]
    armed: Option<Arc<Armed>>,
}

#[cfg(debug_assertions)]
struct Armed {
    point: Point,
    /// How often the point is passed until the process ends there.
    left: AtomicU64,
}

impl FailPoints {
    /// Ends the process when this is the point that is armed, and was passed as often as was said.
    pub(crate) fn hit(&self, point: Point) {
        #[cfg(debug_assertions)]
        if let Some(armed) = &self.armed
            && armed.point == point
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // No core file, no destructor, no word to anyone; the line after it is for a system that refuses.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
            std::process::abort();
        }
        #[cfg(not(debug_assertions))]
        let _ = point;
    }
}

impl FromStr for FailPoints {
    type Err = RaftFailure;

    /// `POINT`, or `POINT@N` for the Nth time that it is passed.
    ///
    /// # Errors
    /// `Settings` for a point that is none, a count that is none, and in a build without points.
    fn from_str(text: &str) -> Result<Self, RaftFailure> {
        let (name, count) = text.split_once('@').unwrap_or((text, "1"));
        let found = Point::ALL.iter().find(|(known, _)| *known == name);
        let count = count.parse::<u64>().ok().filter(|count| *count > 0);
        match (found, count) {
            #[cfg(debug_assertions)]
            (Some((_, point)), Some(count)) => {
                Ok(Self { armed: Some(Arc::new(Armed { point: *point, left: AtomicU64::new(count) })) })
            }
            #[cfg(not(debug_assertions))]
            (Some(_), Some(_)) => Err(RaftFailure::Settings { problem: "this build has no fail points".to_owned() }),
            _ => {
                let names = Point::ALL.map(|(name, _)| name).join(", ");
                let problem = format!("expected POINT or POINT@N with N from 1 and a POINT of {names}, found {text:?}");
                Err(RaftFailure::Settings { problem })
            }
        }
    }
}

impl fmt::Debug for FailPoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(debug_assertions)]
        if let Some(armed) = &self.armed {
            return write!(formatter, "{:?} in {}", armed.point, armed.left.load(Ordering::Relaxed));
        }
        formatter.write_str("none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_how_often_it_is_passed() {
        let armed: FailPoints = "apply-before-write@3".parse().unwrap();
        assert_eq!(format!("{armed:?}"), "ApplyBeforeWrite in 3");
        armed.hit(Point::ApplyAfterWrite);
        armed.hit(Point::ApplyBeforeWrite);
        assert_eq!(format!("{armed:?}"), "ApplyBeforeWrite in 2");
        assert_eq!(format!("{:?}", FailPoints::default()), "none");
    }

    #[test]
    fn what_is_no_point_is_refused_with_those_that_are() {
        for text in ["apply", "apply-before-write@0", "apply-before-write@", ""] {
            let refused = text.parse::<FailPoints>().unwrap_err().to_string();
            assert!(refused.contains("vote-after-sync") && refused.contains(text), "{refused}");
        }
    }
}
