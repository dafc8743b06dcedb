//! By what an operator shows who it is: a token or a certificate, from flags before the context.

use std::path::PathBuf;

use sluice_identity::{OperatorProof, Secret, read_secret};

use crate::{args::Global, failure::Failure};

/// What the control nodes are shown.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Nothing: plaintext needs none.
    None,
    Token(Secret<String>),
    Certificate {
        certificate_pem: String,
        key_pem: Secret<String>,
    },
}

impl Credential {
    /// Reads what flags and variables name, else what the context does; a certificate goes before a token.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn of(
        global: &Global,
        token_of_context: Option<PathBuf>,
        certificate_of_context: Option<(PathBuf, PathBuf)>,
    ) -> Result<Self, Failure> {
        let given = global.cert_file.clone().zip(global.key_file.clone());
        let own = given.is_some() || global.token_file.is_some();
        let (certificate, token) = match own {
            true => (given, global.token_file.clone()),
            false => (certificate_of_context, token_of_context),
        };
        let secret = |path: PathBuf| read_secret(&path).map_err(|failure| Failure::failed(failure.to_string()));
        match (certificate, token) {
            (Some((certificate, key)), _) => {
                let certificate_pem =
                    std::fs::read_to_string(&certificate).map_err(|failure| Failure::file(&certificate, &failure))?;
                Ok(Self::Certificate { certificate_pem, key_pem: secret(key)? })
            }
            (None, Some(token)) => Ok(Self::Token(secret(token)?)),
            (None, None) => Ok(Self::None),
        }
    }

    pub(crate) fn as_proof(&self) -> OperatorProof<'_> {
        match self {
            Self::None => OperatorProof::None,
            Self::Token(token) => OperatorProof::Token(token),
            Self::Certificate { certificate_pem, key_pem } => OperatorProof::Certificate { certificate_pem, key_pem },
        }
    }
}

/// The certificate and key of a context, which names both or none.
///
/// # Errors
/// A usage error for one without the other.
pub(crate) fn both(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(Failure::usage("the context has one of cert-file and key-file: name both, or none")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn flags_go_before_the_context_and_a_certificate_before_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{name}\n")).unwrap();
            path
        };
        let (token, other, certificate, key) = (file("token"), file("other"), file("cert"), file("key"));
        let shown = |flags: &[&str], token: Option<&PathBuf>, certificate: Option<(&PathBuf, &PathBuf)>| {
            let line = [&["sluice", "api", "list"], flags].concat();
            let global = Cli::try_parse_from(line).unwrap().global;
            let certificate = certificate.map(|(certificate, key)| (certificate.clone(), key.clone()));
            match Credential::of(&global, token.cloned(), certificate).unwrap() {
                Credential::None => "none".to_owned(),
                Credential::Token(token) => token.expose().clone(),
                Credential::Certificate { certificate_pem, key_pem } => {
                    format!("{}{}", certificate_pem, key_pem.expose())
                }
            }
        };
        let flag = ["--token-file", other.to_str().unwrap()];
        assert_eq!(shown(&[], None, None), "none");
        assert_eq!(shown(&[], Some(&token), None), "token");
        assert_eq!(shown(&[], Some(&token), Some((&certificate, &key))), "cert\nkey");
        assert_eq!(shown(&flag, Some(&token), Some((&certificate, &key))), "other");
        let pair = ["--cert-file", certificate.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
        assert_eq!(shown(&pair, Some(&token), None), "cert\nkey");
    }
}
