//! What all nouns that are documents have in common: list, get, create, change, delete.
//!
//! A noun's file states its kind, its word and its columns; the verbs that every noun has are here, once.

use serde_json::{Value, json};
use sluice_proto::{
    admin::{ChangeReply, Delete, ListRequest, Patch, PatchOperation, Put, Stored, operation},
    model::{Document, Kind, Ref, document},
};

use crate::{
    args::{Consent, Page},
    document::stored_json,
    failure::Failure,
    output::Changed,
    session::{Session, ShowValue, id_of_stored},
    table::Column,
};

/// A kind of document as people know it.
#[derive(Debug)]
pub(crate) struct Noun {
    pub(crate) kind: Kind,
    pub(crate) word: &'static str,
    /// Characters of its ids; none for nouns that are named by their name alone.
    pub(crate) id_chars: Option<usize>,
    pub(crate) columns: &'static [Column],
    /// Fields that AWS always shows, with what their absence in a document means.
    pub(crate) absent: &'static [(&'static str, bool)],
}

impl Noun {
    /// The reference to one of them.
    pub(crate) fn named(&self, ids: &[&str]) -> Ref {
        Ref { kind: self.kind.into(), ids: ids.iter().map(|id| (*id).to_owned()).collect() }
    }

    /// Whether `text` may be an id of this noun.
    pub(crate) fn is_id(&self, text: &str) -> bool {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        self.id_chars == Some(text.len()) && is_plain
    }

    /// A stored document as AWS shows it.
    pub(crate) fn json(&self, stored: &Stored) -> Value {
        let mut value = stored_json(stored);
        if let Value::Object(fields) = &mut value {
            for (field, meaning) in self.absent {
                fields.entry(*field).or_insert((*meaning).into());
            }
        }
        value
    }

    /// Prints one page, or all of them.
    pub(crate) async fn list(&self, session: &Session, parent: &[&str], page: &Page) -> Result<(), Failure> {
        let session = &session.reading(page.freshness);
        let parent = parent.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        pages(session, self.columns, page, async |page_size, page_token| {
            let message = ListRequest {
                kind: self.kind.into(),
                parent: parent.clone(),
                page_size,
                page_token,
                ..ListRequest::default()
            };
            let reply = session.list(message).await?;
            Ok((reply.items.iter().map(|stored| self.json(stored)).collect(), reply.next_page_token))
        })
        .await
    }

    /// Prints one.
    pub(crate) async fn get(&self, session: &Session, ids: &[&str], show_value: ShowValue) -> Result<(), Failure> {
        let stored = session.get(self, ids, show_value).await.map_err(|failure| self.pointing(failure, ids))?;
        session.show(&self.json(&stored));
        Ok(())
    }

    /// A failure that says where the names are that would have been right.
    fn pointing(&self, failure: Failure, ids: &[&str]) -> Failure {
        match (failure.code.as_str(), ids) {
            ("not-found", [parent, _]) => {
                Failure { message: format!("{}: see `sluice {} list {parent}`", failure.message, self.word), ..failure }
            }
            _ => failure,
        }
    }

    /// Creates one and prints it.
    pub(crate) async fn create(&self, session: &Session, document: document::Kind) -> Result<(), Failure> {
        let reply = self.put_new(session, document).await?;
        self.print_changed(session, "created", reply);
        Ok(())
    }

    /// Creates one.
    pub(crate) async fn put_new(&self, session: &Session, document: document::Kind) -> Result<ChangeReply, Failure> {
        let document = Some(Document { kind: Some(document) });
        // Version 0: it must not exist yet.
        session.change(vec![operation::Kind::Put(Put { document, expected_version: Some(0) })]).await
    }

    /// Patches one and prints it.
    pub(crate) async fn patch(
        &self,
        session: &Session,
        verb: &str,
        ids: &[&str],
        operations: Vec<PatchOperation>,
    ) -> Result<(), Failure> {
        let patch = Patch { target: Some(self.named(ids)), operations, expected_version: None };
        let reply = session.change(vec![operation::Kind::Patch(patch)]).await;
        let reply = reply.map_err(|failure| self.pointing(failure, ids))?;
        self.print_changed(session, verb, reply);
        Ok(())
    }

    /// Deletes one, known to people as `named`, after consent.
    pub(crate) async fn delete(
        &self,
        session: &Session,
        ids: &[&str],
        named: &str,
        consent: Consent,
    ) -> Result<(), Failure> {
        let id = ids.last().copied().unwrap_or_default();
        let what = if named == id { format!("{} {id}", self.word) } else { format!("{} {id} ({named})", self.word) };
        session.consent(consent, &format!("delete {what}"))?;
        let delete = Delete { target: Some(self.named(ids)), expected_version: None };
        let reply = session.change(vec![operation::Kind::Delete(delete)]).await;
        let reply = reply.map_err(|failure| self.pointing(failure, ids))?;
        let document = json!({"deleted": {"kind": self.word, "ids": ids}});
        session.output.changed(Changed { verb: "deleted", what, document, revision: reply.revision });
        Ok(())
    }

    /// Prints the first document of an answer as what was changed.
    pub(crate) fn print_changed(&self, session: &Session, verb: &str, reply: ChangeReply) {
        let stored = reply.results.first();
        let document = stored.map_or(Value::Null, |stored| self.json(stored));
        let id = stored.and_then(id_of_stored).unwrap_or_default();
        let name = document.get("name").and_then(Value::as_str).filter(|name| *name != id);
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        let what = format!("{} {id}{name}", self.word);
        session.output.changed(Changed { verb, what, document, revision: reply.revision });
    }
}

/// Prints a list that comes in pages: the one that was asked for, or all.
///
/// `fetch` takes the page's size and token and answers its items and the next token, empty on the last page.
pub(crate) async fn pages(
    session: &Session,
    columns: &[Column],
    page: &Page,
    fetch: impl AsyncFn(Option<u32>, Option<String>) -> Result<(Vec<Value>, String), Failure>,
) -> Result<(), Failure> {
    let mut items = Vec::new();
    let mut token = page.next_token.clone();
    loop {
        let (found, next) = fetch(page.page_size, token).await?;
        items.extend(found);
        token = (!next.is_empty()).then_some(next);
        if token.is_none() || !page.all {
            break;
        }
    }
    session.show_list(columns, &items, token.as_deref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use sluice_proto::model::ApiKey;

    use super::*;
    use crate::key::KEY;

    #[test]
    fn a_key_that_does_not_say_so_is_enabled() {
        for (enabled, shown) in [(None, true), (Some(true), true), (Some(false), false)] {
            let key = ApiKey { enabled, ..ApiKey::default() };
            let document = Some(Document { kind: Some(document::Kind::ApiKey(key)) });
            let stored = Stored { document, ..Stored::default() };
            assert_eq!(KEY.json(&stored)["enabled"], shown);
        }
        assert_eq!(KEY.json(&Stored::default()), Value::Null, "a deleted one is nothing");
    }
}
