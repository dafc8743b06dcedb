//! The settings of a control node: a file, then `SLUICE_*` variables, then flags, later ones winning.
//!
//! Promise: every setting is named once, here; its doc with default, unit, range and an example is what `--help` prints.
//! Absent: secrets; a token is named by its file.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use sluice_identity::Plaintext;
#[cfg(debug_assertions)]
use sluice_raft::FailPoints;
use sluice_settings::{SettingsFailure, bytes_within, time_within};

const HEARTBEAT: RangeInclusive<Duration> = ms(10)..=ms(10_000);
const ELECTION: RangeInclusive<Duration> = ms(50)..=ms(120_000);
const SNAPSHOT_INTERVAL: RangeInclusive<Duration> = ms(10_000)..=ms(24 * 3_600_000);
const SNAPSHOT_LOG_BYTES: RangeInclusive<u64> = 1 << 20..=16 << 30;
const HISTORY_LOG_BYTES: RangeInclusive<u64> = 0..=16 << 30;
const DISK_RESERVE: RangeInclusive<u64> = 0..=1 << 40;
const PATIENCE: RangeInclusive<Duration> = ms(0)..=ms(24 * 3_600_000);
const CERTIFICATE: RangeInclusive<Duration> = ms(2_000)..=ms(10 * 365 * 24 * 3_600_000);
const DRAIN: RangeInclusive<Duration> = ms(0)..=ms(600_000);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A control node of Sluice: keeps the configuration of a cluster, with the others.
///
/// Each setting may stand in the file under the name of its variable: SLUICE_LISTEN__ADMIN is `admin` in the table
/// `[listen]`. Flags win over variables, variables over the file.
#[derive(Debug, Clone, Parser)]
#[command(name = "sluice-control", version)]
pub struct Settings {
    /// File of settings (TOML). Default: none. Example: /etc/sluice/control.toml.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder for the node's identity, its log and its state; made if absent. Example: /var/lib/sluice.
    #[arg(long, env = "SLUICE_DATA_DIR", value_name = "DIR", default_value = "sluice-control")]
    pub data_dir: PathBuf,

    /// Start a new cluster, once, in an empty folder.
    #[arg(long, env = "SLUICE_BOOTSTRAP", conflicts_with = "join")]
    pub bootstrap: bool,

    /// With --bootstrap: a cluster without certificates; every listener is on loopback and every caller an operator.
    #[arg(long, env = "SLUICE_PLAINTEXT")]
    pub plaintext: bool,

    /// Control nodes of the cluster to join, once; several separated by commas. Default: none. Example: https://10.0.0.1:7100.
    #[arg(long, env = "SLUICE_JOIN", value_name = "URL", value_delimiter = ',')]
    pub join: Vec<String>,

    /// File with the join token that `sluice cluster token create --role control` printed; not needed in a cluster
    /// without certificates on this machine. Default: none. Example: /run/sluice/join-token.
    #[arg(long, env = "SLUICE_JOIN_TOKEN_FILE", value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,

    /// How long to go on joining while no control node answers; a time from 0ms to 24h.
    #[arg(long, env = "SLUICE_JOIN_PATIENCE", value_name = "TIME", default_value = "60s", value_parser = time_within(PATIENCE))]
    pub join_patience: Duration,

    /// HOST:PORT under which other control nodes reach this one. Default: the address of --listen-peer. Example: 10.0.0.1:7101.
    #[arg(long, env = "SLUICE_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// HOST:PORT under which operators and data nodes reach this one. Default: the host of --advertise with the port of
    /// --listen-admin. Example: 10.0.0.1:7100.
    #[arg(long, env = "SLUICE_ADVERTISE_ADMIN", value_name = "HOST:PORT")]
    pub advertise_admin: Option<String>,

    /// Address for operators and data nodes (gRPC); port 0 takes a free one. Example: 0.0.0.0:7100.
    #[arg(long, env = "SLUICE_LISTEN__ADMIN", value_name = "HOST:PORT", default_value = "127.0.0.1:7100")]
    pub listen_admin: String,

    /// Address for other control nodes (gRPC); port 0 takes a free one. Example: 0.0.0.0:7101.
    #[arg(long, env = "SLUICE_LISTEN__PEER", value_name = "HOST:PORT", default_value = "127.0.0.1:7101")]
    pub listen_peer: String,

    /// Address for /healthz, /readyz and /metrics (HTTP); port 0 takes a free one. Example: 0.0.0.0:7180.
    #[arg(long, env = "SLUICE_LISTEN__HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:7180")]
    pub listen_http: String,

    /// Listen and connect in plaintext off loopback too, in a cluster without certificates; logged every minute.
    #[arg(long, env = "SLUICE_INSECURE")]
    pub insecure: bool,

    /// How long a certificate is good that this node signs while it leads; each node renews its own after two thirds of that.
    /// A time from 2s (for tests) to 3650d, the same on all control nodes.
    #[arg(long, env = "SLUICE_CERTIFICATE_LIFETIME", value_name = "TIME", default_value = "90d", value_parser = time_within(CERTIFICATE))]
    pub certificate_lifetime: Duration,

    /// Between two heartbeats of the leader; a time from 10ms to 10s. The same on all control nodes.
    #[arg(long, env = "SLUICE_RAFT__HEARTBEAT", value_name = "TIME", default_value = "100ms", value_parser = time_within(HEARTBEAT))]
    pub raft_heartbeat: Duration,

    /// Shortest silence of the leader before an election; a time from 50ms to 120s, at least three heartbeats.
    #[arg(long, env = "SLUICE_RAFT__ELECTION_MIN", value_name = "TIME", default_value = "600ms", value_parser = time_within(ELECTION))]
    pub raft_election_min: Duration,

    /// Longest silence of the leader before an election; a time from 50ms to 120s, more than --raft-election-min.
    #[arg(long, env = "SLUICE_RAFT__ELECTION_MAX", value_name = "TIME", default_value = "1200ms", value_parser = time_within(ELECTION))]
    pub raft_election_max: Duration,

    /// Log after which a snapshot is taken; from 1MiB to 16GiB.
    #[arg(long, env = "SLUICE_RAFT__SNAPSHOT_LOG_BYTES", value_name = "BYTES", default_value = "64MiB", value_parser = bytes_within(SNAPSHOT_LOG_BYTES))]
    pub raft_snapshot_log_bytes: u64,

    /// Time after which a snapshot is taken if anything changed; from 10s to 24h.
    #[arg(long, env = "SLUICE_RAFT__SNAPSHOT_INTERVAL", value_name = "TIME", default_value = "10m", value_parser = time_within(SNAPSHOT_INTERVAL))]
    pub raft_snapshot_interval: Duration,

    /// Log on disk, about, from which earlier revisions can be restored; from 0B, which keeps none, to 16GiB.
    #[arg(long, env = "SLUICE_RAFT__HISTORY_LOG_BYTES", value_name = "BYTES", default_value = "256MiB", value_parser = bytes_within(HISTORY_LOG_BYTES))]
    pub raft_history_log_bytes: u64,

    /// Free disk below which changes are refused, deletes excepted, when this node or a majority has less; from 0 (none) to
    /// 1024GiB. The same on all control nodes.
    #[arg(long, env = "SLUICE_DISK_RESERVE", value_name = "BYTES", default_value = "256MiB", value_parser = bytes_within(DISK_RESERVE))]
    pub disk_reserve: u64,

    /// For calls under way to finish when the node stops; a time from 0ms to 10m.
    #[arg(long, env = "SLUICE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = time_within(DRAIN))]
    pub drain_timeout: Duration,

    // A flag and nothing else: no operator's variable or file names it, and a release build does not know it.
    /// Where a test ends this process: `POINT@N`.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "POINT", hide = true)]
    pub fail_point: Option<FailPoints>,

    /// What is logged, as directives of tracing. Example: info,sluice_raft=debug.
    #[arg(long, env = "SLUICE_LOG", value_name = "FILTER", default_value = "info,openraft=error")]
    pub log: String,

    /// How it is logged.
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl From<LogFormat> for sluice_telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Default for Settings {
    /// The defaults, whatever the environment says.
    fn default() -> Self {
        sluice_settings::defaults()
    }
}

impl Settings {
    /// Reads the settings of this process from its file, its variables and its flags.
    ///
    /// # Errors
    /// [`SettingsFailure`]; also what `--help` and `--version` print.
    pub fn load() -> Result<Self, SettingsFailure> {
        sluice_settings::load()
    }

    pub(crate) fn plaintext_reach(&self) -> Plaintext {
        if self.insecure { Plaintext::Anywhere } else { Plaintext::LoopbackOnly }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Settings::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = Settings::default();
        assert_eq!(settings.listen_admin, "127.0.0.1:7100");
        assert_eq!(settings.listen_peer, "127.0.0.1:7101");
        assert_eq!(settings.listen_http, "127.0.0.1:7180");
        assert_eq!(settings.raft_heartbeat, ms(100));
        assert_eq!(settings.raft_snapshot_log_bytes, 64 << 20);
    }

    #[test]
    fn help_names_variable_default_and_range() {
        let help = Settings::command().render_long_help().to_string();
        for part in ["SLUICE_LISTEN__ADMIN", "[default: 100ms]", "from 10ms to 10s", "--join-token-file"] {
            assert!(help.contains(part), "{part}");
        }
    }
}
