//! One run of a command against a cluster: whom to ask, how long, and how to print the answer.

use std::{io::IsTerminal as _, io::Write as _, rc::Rc, time::Duration};

use serde_json::Value;
use sluice_identity::{Channel, Dialer, OperatorProof, Plaintext, ServerTrust};
use sluice_proto::{
    admin::{ChangeReply, ChangeRequest, GetRequest, ListReply, ListRequest, Operation, Stored, operation},
    model::Ref,
};
use sluice_rpc::admin::config_client::ConfigClient;

use crate::{
    args::{Consent, Global},
    client::Client,
    contexts::Contexts,
    credential::{Credential, both},
    failure::{Exit, Failure},
    freshness::Freshness,
    noun::Noun,
    output::Output,
    request::RequestIds,
    table::Column,
};

const DEFAULT_CONTROL: &str = "http://127.0.0.1:7100";
/// Bytes of one answer: a page of the largest documents.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What every command needs.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) client: Rc<Client>,
    pub(crate) output: Output,
    pub(crate) timeout: Duration,
    pub(crate) freshness: Freshness,
    /// Of what this command changes.
    pub(crate) requests: Rc<RequestIds>,
}

impl Session {
    /// Reads the context and prepares the channels; nothing is connected yet. Flags win over the context.
    ///
    /// # Errors
    /// A usage error for a context, an address or a file that is wrong.
    pub(crate) fn open(global: &Global, output: Output) -> Result<Self, Failure> {
        let contexts = Contexts::load()?;
        // Who says where to go leaves the current context, with its credentials, aside.
        let cluster = match (&global.context, global.control.is_empty()) {
            (None, false) => None,
            (name, _) => contexts.cluster(name.as_deref())?,
        };
        let cluster = cluster.cloned().unwrap_or_default();
        let mut urls = if global.control.is_empty() { cluster.control } else { global.control.clone() };
        if urls.is_empty() {
            urls.push(DEFAULT_CONTROL.to_owned());
        }
        let trust = match global.ca_file.clone().or(cluster.ca_file) {
            Some(path) => {
                ServerTrust::Ca(std::fs::read_to_string(&path).map_err(|failure| Failure::file(&path, &failure))?)
            }
            None => ServerTrust::None,
        };
        let proof = Credential::of(global, cluster.token_file, both(cluster.cert_file, cluster.key_file)?)?;
        let plaintext = if global.insecure { Plaintext::Anywhere } else { Plaintext::LoopbackOnly };
        let dialer = Dialer::of_operator(&trust, proof.as_proof(), plaintext)
            .map_err(|failure| Failure::usage(failure.to_string()))?;
        let client = Rc::new(Client::new(&dialer, &urls)?);
        let requests = Rc::new(RequestIds::new(global.request_id));
        Ok(Self { client, output, timeout: global.timeout, freshness: Freshness::default(), requests })
    }

    /// A session with control nodes on this machine, in plaintext.
    ///
    /// # Errors
    /// A usage error for an address that is none.
    pub(crate) fn local(urls: &[String], output: Output, timeout: Duration) -> Result<Self, Failure> {
        let dialer = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly)
            .map_err(|failure| Failure::usage(failure.to_string()))?;
        let client = Rc::new(Client::new(&dialer, urls)?);
        let requests = Rc::new(RequestIds::new(None));
        Ok(Self { client, output, timeout, freshness: Freshness::default(), requests })
    }

    /// The same for a command that only reads, as fresh as it says.
    pub(crate) fn reading(&self, freshness: Freshness) -> Self {
        Self { freshness, ..self.clone() }
    }

    /// Prints one thing that was read.
    pub(crate) fn show(&self, value: &Value) {
        self.output.one(value, self.client.stale().as_ref());
    }

    /// Prints a list that was read.
    pub(crate) fn show_list(&self, columns: &[Column], items: &[Value], next_token: Option<&str>) {
        self.output.list(columns, items, next_token, self.client.stale().as_ref());
    }

    /// One document.
    pub(crate) async fn get(&self, noun: &Noun, ids: &[&str], show_value: ShowValue) -> Result<Stored, Failure> {
        let message = GetRequest {
            r#ref: Some(noun.named(ids)),
            stale: self.freshness.stale,
            show_value: show_value == ShowValue::Yes,
        };
        let reply = self
            .client
            .read(self.timeout, message, async |channel, request| config(channel).get(request).await)
            .await?;
        reply.stored.ok_or_else(|| Failure::not_found(format!("{} {} does not exist", noun.word, ids.join(" "))))
    }

    /// One page of documents.
    pub(crate) async fn list(&self, message: ListRequest) -> Result<ListReply, Failure> {
        let message = ListRequest { stale: self.freshness.stale, ..message };
        self.client.read(self.timeout, message, async |channel, request| config(channel).list(request).await).await
    }

    /// Commits operations as one revision.
    pub(crate) async fn change(&self, operations: Vec<operation::Kind>) -> Result<ChangeReply, Failure> {
        let operations = operations.into_iter().map(|kind| Operation { kind: Some(kind) }).collect();
        let message = ChangeRequest { request_id: self.requests.next(), operations };
        let reply = self
            .client
            .call(self.timeout, message, async |channel, request| config(channel).change(request).await)
            .await?;
        self.output.warnings(&reply.diagnostics);
        Ok(reply)
    }

    /// The id of what a person names by id or by name.
    ///
    /// # Errors
    /// `Exit::Failed` when there is none, `Exit::Usage` when a name is that of several, with their ids.
    pub(crate) async fn id_of(&self, noun: &Noun, named: &str) -> Result<String, Failure> {
        if noun.is_id(named) {
            match self.get(noun, &[named], ShowValue::No).await {
                Ok(_) => return Ok(named.to_owned()),
                Err(failure) if failure.code == "not-found" => {}
                Err(failure) => return Err(failure),
            }
        }
        let message = ListRequest { kind: noun.kind.into(), name: Some(named.to_owned()), ..ListRequest::default() };
        let found = self.list(message).await?.items;
        let ids = found.iter().filter_map(id_of_stored).collect::<Vec<_>>();
        match ids.as_slice() {
            [] => {
                let word = noun.word;
                Err(Failure::not_found(format!("no {word} has the id or name {named}: see `sluice {word} list`")))
            }
            [id] => Ok(id.clone()),
            several => Err(Failure::new(
                Exit::Usage,
                "ambiguous",
                format!(
                    "{} {}s are named {named}: use one of the ids {}",
                    several.len(),
                    noun.word,
                    several.join(", ")
                ),
            )),
        }
    }

    /// Asks a person; where there is none, `--yes` must have been given.
    ///
    /// # Errors
    /// A usage error without consent.
    pub(crate) fn consent(&self, consent: Consent, what: &str) -> Result<(), Failure> {
        if consent.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("this will {what}: repeat it with --yes")));
        }
        let mut answer = String::new();
        drop(write!(std::io::stderr(), "this will {what}; go on? [y/N] "));
        drop(std::io::stderr().flush());
        std::io::stdin().read_line(&mut answer).map_err(|failure| Failure::failed(failure.to_string()))?;
        let is_given = matches!(answer.trim(), "y" | "Y" | "yes");
        if is_given { Ok(()) } else { Err(Failure::failed("nothing was changed")) }
    }
}

/// Whether the value of an API key is unsealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShowValue {
    Yes,
    No,
}

/// A client of the configuration calls.
pub(crate) fn config(channel: Channel) -> ConfigClient<Channel> {
    ConfigClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).max_encoding_message_size(ANSWER_BYTES_MAX)
}

/// The id that a stored document has within its parent.
pub(crate) fn id_of_stored(stored: &Stored) -> Option<String> {
    let Ref { ids, .. } = stored.r#ref.as_ref()?;
    ids.last().cloned()
}
