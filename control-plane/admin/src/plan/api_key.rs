//! API keys. The value is sealed and hashed here; only the answer to the caller holds it.

use sluice_identity::sealing_key;
use sluice_proto::{
    model::ApiKey,
    raft::{KeyFields, PutRow},
};
use sluice_state::{Tables, View};

use super::{Planned, Planner, check_id, checked, planned, put_row, row::row_of_document, seconds};
use crate::refused::{Reason, Refused};

impl<T: Tables> Planner<'_, T> {
    /// Creates an API key, or replaces what may change of one: never its value.
    pub(crate) fn put_api_key(&mut self, mut key: ApiKey, expected: Option<u64>) -> Result<Planned, Refused> {
        if key.id.is_empty() {
            // Not looked up: apply refuses an id that exists, and ten characters do not meet.
            key.id = self.ids.api_key(|_| false);
        }
        check_id(&key.id, "id")?;
        self.leveled(&mut key)?;
        key.last_updated_date = Some(seconds(self.now_ms));
        let (found, expected) = self.present(&key, expected)?;
        let shown = match found {
            Some(found) => {
                self.keep_value(&mut key, found.document)?;
                None
            }
            None => {
                key.created_date = key.last_updated_date;
                let value = key.value.take().unwrap_or_else(|| self.tools.secrets.make_value());
                check_value(&key, &value)?;
                self.seal(&mut key, &value)?;
                Some(value)
            }
        };
        let warnings = checked(&key)?;
        let rows = vec![put_row(key_row(&self.view, &key, expected)?)];
        let mut answer = without_secrets(key);
        answer.value = shown;
        Ok(Planned { warnings, ..planned(answer, rows) })
    }

    fn keep_value(&self, key: &mut ApiKey, before: ApiKey) -> Result<(), Refused> {
        if let Some(given) = key.value.take() {
            let sealed = before.sealed_value.as_deref().unwrap_or_default();
            if self.tools.secrets.open(&before.id, sealed)? != given {
                let message = "the value of a key cannot be changed";
                return Err(Refused::invalid("value", message, "create another key and disable this one"));
            }
        }
        key.created_date = before.created_date;
        key.sealed_value = before.sealed_value;
        key.value_hash = before.value_hash;
        Ok(())
    }

    /// Puts the sealed value and its hash into the key.
    pub(crate) fn seal(&self, key: &mut ApiKey, value: &str) -> Result<(), Refused> {
        let cluster = self.view.cluster().ok_or_else(|| {
            Refused::new(Reason::Unavailable, "this node holds no cluster yet; try again when it has caught up")
        })?;
        let hash = self.tools.secrets.hash(&cluster.sealed_lookup_key, value)?;
        key.sealed_value = Some(self.tools.secrets.seal(&self.view.sealing_key(), &key.id, value)?);
        key.value_hash = Some(hex(&hash.0));
        Ok(())
    }
}

/// Checks a value that the document itself no longer holds.
fn check_value(key: &ApiKey, value: &str) -> Result<(), Refused> {
    checked(&ApiKey { value: Some(value.to_owned()), ..key.clone() }).map(drop)
}

/// The row of a key, with what apply derives the view for data nodes from.
pub(crate) fn key_row<T: Tables>(
    view: &View<T>,
    key: &ApiKey,
    expected_version: Option<u64>,
) -> Result<PutRow, Refused> {
    let hash = key.value_hash.as_deref().and_then(unhex).ok_or_else(|| {
        Refused::new(Reason::Unavailable, format!("the row of key {} holds no hash; restore it from a backup", key.id))
    })?;
    let fields = KeyFields {
        hash: hash.clone().into(),
        enabled: key.enabled.unwrap_or(true),
        usage_identifier: key.customer_id.clone().unwrap_or_default(),
        sealed_with: sealing_key(key.sealed_value.as_deref().unwrap_or_default()).to_owned(),
    };
    Ok(PutRow { unique: hash.into(), expected_version, key_fields: Some(fields), ..row_of_document(view, key)? })
}

/// The key as callers see it.
pub(crate) fn without_secrets(key: ApiKey) -> ApiKey {
    ApiKey { value: None, sealed_value: None, value_hash: None, ..key }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
