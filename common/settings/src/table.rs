//! The table of a program's settings.

use std::time::Duration;

/// A program and its settings.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// As typed.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Its release.
    pub version: &'static str,
    /// Every setting.
    pub settings: &'static [Setting],
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Dotted path in the file: `listen.admin`. The flag is `--listen-admin`, the variable `SLUICE_LISTEN__ADMIN`.
    pub key: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What holds when no one says.
    pub default: Default,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// A value that could be given.
    pub example: &'static str,
}

/// What holds when no one gives a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value.
    Is(&'static str),
    /// Nothing, which means this.
    Absent(&'static str),
    /// The program does not start.
    Required,
}

/// What the values of a setting are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// A file or folder.
    Path,
    /// `HOST:PORT`.
    Address,
    /// Values separated by commas; an array in the file.
    List,
    /// true or false; the bare flag means true.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within these bounds.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// Bytes, with `KiB`, `MiB` or `GiB`, within these bounds.
    Bytes {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A time with its unit, `ms`, `s`, `m` or `h`, within these bounds.
    Time {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
}

impl Setting {
    /// `listen.admin` as a flag: `listen-admin`.
    pub(crate) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// `listen.admin` as a variable: `SLUICE_LISTEN__ADMIN`.
    pub(crate) fn variable(&self) -> String {
        format!("SLUICE_{}", self.key.replace('.', "__").to_uppercase())
    }
}
