//! Every wait of this crate.

use std::time::Duration;

/// How long things may take. Tests shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// From the beginning of a stream to its hello.
    pub(crate) hello_max: Duration,
    /// For the first read index after a start, while a data node waits.
    pub(crate) gate_max: Duration,
    /// For this node's own apply, when a data node holds more.
    pub(crate) behind_max: Duration,
    /// Between digests, each way.
    pub(crate) beat_every: Duration,
    /// A data node that says nothing for so long is gone; it beats every second.
    pub(crate) silence_max: Duration,
    /// The same while it is busy with a change.
    pub(crate) busy_silence_max: Duration,
    /// For a data node to read one message.
    pub(crate) send_max: Duration,
    /// For a data node to read a whole snapshot, while others wait for its turn.
    pub(crate) snapshot_max: Duration,
    /// A delta is kept so long for data nodes that come to the same number a little later.
    pub(crate) delta_kept: Duration,
    /// Between whole snapshots that one data node asks for.
    pub(crate) resync_every: Duration,
    /// Between reports to the leader when nothing happens.
    pub(crate) report_every: Duration,
    /// For the leader to answer a report.
    pub(crate) report_max: Duration,
    /// Between reports that the leader did not take.
    pub(crate) report_retry: Duration,
    /// A control node that reports nothing for so long has lost its sessions, and sends its data nodes elsewhere when no
    /// leader has taken a report for so long.
    pub(crate) reporter_silence_max: Duration,
    /// A voter that is not heard may have data nodes for so long: it may have been heard a moment before it fell silent,
    /// sends them elsewhere after `reporter_silence_max` and at most `beat_every`, and those that it does not reach leave
    /// it after the 5 s of silence that `sluice-follow` bears.
    pub(crate) hidden_max: Duration,
    /// A data node without a session may be on its way from one control node to another.
    pub(crate) gone_after: Duration,
    /// For a quorum to confirm the leader that is about to say that all is served.
    pub(crate) confirm_max: Duration,
    /// How often a waiting call looks at what passes with time alone.
    pub(crate) look_every: Duration,
    /// How long a data node that left is still listed.
    pub(crate) gone_listed: Duration,
}

impl Timing {
    pub(crate) const PRODUCT: Self = Self {
        hello_max: Duration::from_secs(5),
        gate_max: Duration::from_secs(3),
        behind_max: Duration::from_secs(1),
        beat_every: Duration::from_secs(1),
        silence_max: Duration::from_secs(10),
        busy_silence_max: Duration::from_secs(60),
        send_max: Duration::from_secs(30),
        snapshot_max: Duration::from_secs(600),
        delta_kept: Duration::from_secs(10),
        resync_every: Duration::from_secs(1),
        report_every: Duration::from_secs(1),
        report_max: Duration::from_secs(2),
        report_retry: Duration::from_millis(50),
        reporter_silence_max: Duration::from_secs(4),
        hidden_max: Duration::from_secs(4 + 1 + 5),
        gone_after: Duration::from_millis(1_500),
        confirm_max: Duration::from_secs(1),
        look_every: Duration::from_millis(100),
        gone_listed: Duration::from_secs(600),
    };
}
