//! `audit`: who did what.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sluice_proto::admin::{AuditLine, ListAuditRequest};
use sluice_rpc::admin::audit_client::AuditClient;

use crate::{
    args::Page,
    duration,
    failure::Failure,
    noun::pages,
    session::Session,
    table::{Column, column, time},
};

const COLUMNS: [Column; 7] = [
    time("TIME", "date"),
    column("ACTOR", "actor"),
    column("ROLE", "role"),
    column("FROM", "address"),
    column("METHOD", "method"),
    column("OUTCOME", "outcome"),
    column("WHAT", "rows"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what was changed, refused and shown of secrets, newest first
    #[command(after_help = "\
Examples:
  sluice audit list --since 24h
  sluice audit list --actor alice --method Config/Change --all -o json
  sluice audit list --outcome denied")]
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only calls of so long ago at most
    #[arg(long, value_parser = duration::parse, value_name = "TIME")]
    since: Option<Duration>,
    /// Only calls of this operator or node
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only methods whose name holds this
    #[arg(long, value_name = "TEXT")]
    method: Option<String>,
    /// Only this outcome: done, denied, or the code of a refusal
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    #[command(flatten)]
    page: Page,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::List(wanted) = self;
        list(&session.reading(wanted.page.freshness), &wanted).await
    }
}

async fn list(session: &Session, wanted: &List) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = wanted.since.map(|since| now.saturating_sub(since).as_millis());
    let since_ms = since.map(|since| u64::try_from(since).unwrap_or(u64::MAX));
    pages(session, &COLUMNS, &wanted.page, async |page_size, page_token| {
        let message = ListAuditRequest {
            since_ms,
            actor: wanted.actor.clone(),
            method: wanted.method.clone(),
            outcome: wanted.outcome.clone(),
            page_size,
            page_token,
            stale: session.freshness.stale,
        };
        let reply = session
            .client
            .read(session.timeout, message, async |channel, request| AuditClient::new(channel).list(request).await)
            .await?;
        Ok((reply.items.iter().map(line_json).collect(), reply.next_page_token))
    })
    .await
}

fn line_json(line: &AuditLine) -> Value {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let some = |number: u64| (number > 0).then_some(number);
    json!({
        "date": line.time_ms / 1000,
        "timeMs": line.time_ms,
        "actor": line.actor,
        "role": line.role,
        "address": line.address,
        "takenBy": line.taken_by,
        "method": line.method.trim_start_matches("/sluice.admin.v1."),
        "rows": line.rows,
        "moreRows": some(u64::from(line.more_rows)),
        "requestId": text(&line.request_id),
        "revisionNumber": some(line.number),
        "outcome": line.outcome,
        "count": line.count,
        "dropped": some(line.dropped),
    })
}
