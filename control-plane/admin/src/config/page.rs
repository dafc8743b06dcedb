//! Pages of lists, and the views they are read from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sluice_state::View;

use crate::{call::Call, commit::barrier, operators::still_known, refused::Refused, replica::Replica};

/// Where a page ended: the key of its last row. Opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageToken(pub(crate) Vec<String>);

impl PageToken {
    /// # Errors
    /// `Invalid` for a text that no list has handed out.
    pub(crate) fn parse(text: Option<&str>) -> Result<Option<Self>, Refused> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        match key {
            Some(key) => Ok(Some(Self(key.split('\u{1f}').map(str::to_owned).collect()))),
            None => {
                let message = "expected a token of an earlier page, found something else";
                Err(Refused::invalid("pageToken", message, "leave it out to begin with the first page"))
            }
        }
    }

    /// The text for the next page.
    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.join("\u{1f}"))
    }
}

/// The state to read: everything committed before the call, or what this node has where the caller takes it stale.
///
/// # Errors
/// `Unavailable` when no leader confirms itself before the deadline; `Denied` when the caller was deleted meanwhile.
pub(crate) async fn fresh_view<R: Replica>(replica: &R, call: &Call, stale: bool) -> Result<View<R::Tables>, Refused> {
    if stale {
        return Ok(replica.view());
    }
    barrier(replica, call.deadline).await?;
    let view = replica.view();
    still_known(&view, call)?;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_the_key_it_was() {
        let token = PageToken(vec!["abc".into(), "r1/x".into(), "GET".into()]);
        assert_eq!(PageToken::parse(Some(&token.to_text())).unwrap(), Some(token));
        assert_eq!(PageToken::parse(Some("")).unwrap(), None);
        assert!(PageToken::parse(Some("???")).is_err());
    }
}
