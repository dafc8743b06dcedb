//! The settings of a data node: a file, then `SLUICE_*` variables, then flags, later ones winning.
//!
//! Promise: every setting is named once, here; its doc with default, unit and range is what `--help` prints.
//! Absent: secrets; a token is named by its file.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use sluice_settings::{SettingsFailure, time_within};

/// Waits for a client: a shorter one cuts off honest clients, a longer one keeps connections of dead ones.
const WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);

/// A data node of Sluice: serves the APIs of a cluster to their clients.
///
/// Each setting may stand in the file under the name of its variable: SLUICE_LISTEN__HTTP is `http` in the table `[listen]`.
#[derive(Debug, Clone, Parser)]
#[command(name = "sluice-data", version)]
pub struct Settings {
    /// File of settings (TOML). Default: none.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder for the node's identity and its last-good configuration; made if absent.
    #[arg(long, env = "SLUICE_DATA_DIR", value_name = "DIR", default_value = "sluice-data")]
    pub data_dir: PathBuf,

    /// Control nodes to begin with, any of them; several separated by commas. On a machine with a cluster without
    /// certificates also joins it. Default: those that the join told. Example: http://127.0.0.1:7100.
    // `SLUICE_CONTROL` is the operator's: a data node that is started from an operator's shell must not change its cluster.
    #[arg(long, visible_alias = "control", env = "SLUICE_FOLLOW", value_name = "URL", value_delimiter = ',')]
    pub follow: Vec<String>,

    /// Control nodes of the cluster to join, once; several separated by commas. Default: none. Example: https://10.0.0.1:7100.
    #[arg(long, env = "SLUICE_JOIN", value_name = "URL", value_delimiter = ',')]
    pub join: Vec<String>,

    /// File with the join token that `sluice cluster token create --role data` printed; not needed in a cluster without
    /// certificates on this machine. Default: none. Example: /run/sluice/join-token.
    #[arg(long, env = "SLUICE_JOIN_TOKEN_FILE", value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,

    /// Follow control nodes in plaintext off loopback too; logged every minute.
    #[arg(long, env = "SLUICE_INSECURE")]
    pub insecure: bool,

    /// Address for clients' HTTP/1.1 and HTTP/2 with prior knowledge; port 0 takes a free one.
    #[arg(long, env = "SLUICE_LISTEN__HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen_http: SocketAddr,

    /// Address for clients' HTTPS, HTTP/2 or HTTP/1.1 as they choose (ALPN), where --tls-certificates names some; port 0 takes
    /// a free one.
    #[arg(long, env = "SLUICE_LISTEN__HTTPS", value_name = "HOST:PORT", default_value = "127.0.0.1:8443")]
    pub listen_https: SocketAddr,

    /// Address for /healthz, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, env = "SLUICE_LISTEN__OPERATIONS", value_name = "HOST:PORT", default_value = "127.0.0.1:7280")]
    pub listen_operations: SocketAddr,

    /// HOST:PORT under which clients reach this node, shown by `sluice node list`. Default: the address of --listen-http.
    #[arg(long, env = "SLUICE_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// Traffic cores, one thread each; 1 to 1024. Default: the processors this process may use.
    #[arg(long, env = "SLUICE_CORES", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub cores: Option<u16>,

    /// Files (PEM) of certificates for clients, each with its chain; several separated by commas. A client is shown the one
    /// that has the name it asks for, or the first. Read again when they change. Default: none, and no HTTPS. Example:
    /// /etc/sluice/tls.crt.
    #[arg(long, env = "SLUICE_TLS__CERTIFICATES", value_name = "FILE", value_delimiter = ',')]
    pub tls_certificates: Vec<PathBuf>,

    /// Files (PEM) of their keys, in the same order. Default: none. Example: /etc/sluice/tls.key.
    #[arg(long, env = "SLUICE_TLS__KEYS", value_name = "FILE", value_delimiter = ',')]
    pub tls_keys: Vec<PathBuf>,

    /// Connections of trusted proxies begin with a PROXY header, version 1 or 2: those that do not are closed, and who it
    /// names is the client. Those of others are as ever.
    #[arg(long, env = "SLUICE_PROXY_PROTOCOL")]
    pub proxy_protocol: bool,

    /// Networks (CIDR) whose X-Forwarded-For is believed, or whose PROXY headers; several separated by commas. Default: none.
    #[arg(long, env = "SLUICE_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,

    /// Who may address an API by path: /_aws/execute-api/{api}/{stage}/... and /restapis/{api}/{stage}/_user_request_/...
    #[arg(long, env = "SLUICE_PATH_ADDRESSES", value_enum, default_value_t = PathAddresses::Loopback)]
    pub path_addresses: PathAddresses,

    /// Certificates (PEM) that https backends may have beside those of the system's roots. Default: none.
    #[arg(long, env = "SLUICE_BACKEND__CA_FILE", value_name = "FILE")]
    pub backend_ca_file: Option<PathBuf>,

    /// Connections of clients, over all cores; 1 to 4000000. More are closed at once.
    #[arg(long, env = "SLUICE_LIMITS__CONNECTIONS", value_name = "N", default_value = "65536",
          value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub limits_connections: u32,

    /// New connections per second and address (IPv6: per /64); proxies that are trusted are exempt. At least 1.
    #[arg(long, env = "SLUICE_LIMITS__CONNECTION_RATE", value_name = "N", default_value = "2000")]
    pub limits_connection_rate: NonZeroU32,

    /// New connections of one address at once. At least 1.
    #[arg(long, env = "SLUICE_LIMITS__CONNECTION_BURST", value_name = "N", default_value = "4000")]
    pub limits_connection_burst: NonZeroU32,

    /// Connections of one address at once (IPv6: of a /64), over all cores; 1 to 4000000. More are closed at once. Proxies that
    /// are trusted are exempt; whom their PROXY headers name is not.
    #[arg(long, env = "SLUICE_LIMITS__ADDRESS_CONNECTIONS", value_name = "N", default_value = "8192",
          value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub limits_address_connections: u32,

    /// TLS handshakes and PROXY headers that are under way at once, on each core; 1 to 1000000. One more ends the oldest.
    #[arg(long, env = "SLUICE_LIMITS__HANDSHAKES", value_name = "N", default_value = "4096",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limits_handshakes: u32,

    /// Requests of one connection, which then ends in order, so that clients come back to where there is room; 1 to 4000000000.
    #[arg(long, env = "SLUICE_LIMITS__REQUESTS", value_name = "N", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..=4_000_000_000))]
    pub limits_requests: u32,

    /// Requests in flight on one HTTP/2 connection; 1 to 10000.
    #[arg(long, env = "SLUICE_LIMITS__STREAMS", value_name = "N", default_value = "128",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limits_streams: u32,

    /// Requests that a client may give up on one HTTP/2 connection; beyond them no more than half of those it began. 1 to
    /// 1000000. A client that gives up more is cut off.
    #[arg(long, env = "SLUICE_LIMITS__RESETS", value_name = "N", default_value = "200",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limits_resets: u32,

    /// For a TLS handshake and a PROXY header together; a time from 1s to 1h.
    #[arg(long, env = "SLUICE_TIMEOUTS__HANDSHAKE", value_name = "TIME", default_value = "10s",
          value_parser = time_within(WAIT))]
    pub timeouts_handshake: Duration,

    /// From the first byte of a request's head to its last; a time from 1s to 1h.
    #[arg(long, env = "SLUICE_TIMEOUTS__HEAD", value_name = "TIME", default_value = "10s", value_parser = time_within(WAIT))]
    pub timeouts_head: Duration,

    /// Between two requests of a connection; a time from 1s to 1h.
    #[arg(long, env = "SLUICE_TIMEOUTS__IDLE", value_name = "TIME", default_value = "120s", value_parser = time_within(WAIT))]
    pub timeouts_idle: Duration,

    /// For a client to take more of its response; a time from 1s to 1h.
    #[arg(long, env = "SLUICE_TIMEOUTS__SEND", value_name = "TIME", default_value = "60s", value_parser = time_within(WAIT))]
    pub timeouts_send: Duration,

    /// From failing /readyz to no longer accepting, when the node stops; a time from 0s to 1h.
    #[arg(long, env = "SLUICE_DRAIN_DELAY", value_name = "TIME", default_value = "10s", value_parser = time_within(DRAIN))]
    pub drain_delay: Duration,

    /// For requests in flight to finish after that, when the node stops; a time from 0s to 1h.
    #[arg(long, env = "SLUICE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "35s", value_parser = time_within(DRAIN))]
    pub drain_timeout: Duration,

    /// What is logged, as directives of tracing: `info`, `info,sluice_pipeline=debug`.
    #[arg(long, env = "SLUICE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How it is logged.
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// A fail point, for tests: compiling panics over rows that hold this text. A flag only, so that no file or shell that
    /// a node shares with another sets it by accident.
    #[arg(long, value_name = "TEXT", hide = true)]
    pub fail_compile: Option<String>,
}

/// Who may address an API by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PathAddresses {
    /// Every client.
    On,
    /// Clients on loopback.
    Loopback,
    /// Nobody.
    Off,
}

impl From<PathAddresses> for sluice_pipeline::PathAddresses {
    fn from(setting: PathAddresses) -> Self {
        match setting {
            PathAddresses::On => Self::On,
            PathAddresses::Loopback => Self::Loopback,
            PathAddresses::Off => Self::Off,
        }
    }
}

impl From<LogFormat> for sluice_telemetry::LogFormat {
    fn from(setting: LogFormat) -> Self {
        match setting {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
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

    /// How many traffic cores to run.
    pub fn core_count(&self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        self.cores.map_or_else(available, usize::from)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn load(file: &str, flags: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sluice.toml");
        std::fs::write(&path, file).unwrap();
        let args = ["sluice-data".into(), "--config".into(), path.into()];
        let args = args.into_iter().chain(flags.iter().map(Into::into)).collect();
        sluice_settings::load_from(args, std::iter::empty()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Settings::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = Settings::default();
        assert_eq!(settings.listen_http.port(), 8080);
        assert_eq!(settings.listen_https.port(), 8443);
        assert_eq!(settings.listen_operations.port(), 7280);
        assert_eq!(settings.drain_delay, Duration::from_secs(10));
        assert_eq!(settings.path_addresses, PathAddresses::Loopback);
    }

    #[test]
    fn a_table_of_the_file_holds_settings_and_a_flag_wins_over_it() {
        let file = "cores = 3\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[listen]\nhttp = \"127.0.0.1:9001\"\n";
        let settings = load(file, &["--cores", "2"]).unwrap();
        assert_eq!(settings.cores, Some(2));
        assert_eq!(settings.listen_http.port(), 9001);
        assert_eq!(settings.trusted_proxies, ["10.0.0.0/8", "::1"]);
    }

    #[test]
    fn a_wrong_key_or_value_is_refused_with_what_was_expected() {
        let cases = [
            ("[listen]\nhtpp = \"127.0.0.1:9001\"\n", "unknown setting listen.htpp"),
            ("[listen]\nhtpp = \"127.0.0.1:9001\"\n", "did you mean listen.http?"),
            ("cores = 0\n", "1..=1024"),
            ("drain_delay = \"2h\"\n", "from 0ns to 3600s"),
            ("[timeouts]\nhead = \"10ms\"\n", "from 1s to 3600s"),
        ];
        for (file, expected) in cases {
            let refused = load(file, &[]).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
