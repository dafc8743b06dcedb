//! Watches purity, arrows between crates and sizes of files.
