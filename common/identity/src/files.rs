//! Files of identity: written whole or not at all, secrets with mode 0600.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::{IdentityFailure, Secret};

/// Mode of private keys, tokens and what is as secret.
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
/// Mode of a folder that holds secrets.
const FOLDER_MODE: u32 = 0o700;

/// Writes `contents` to `path`, readable by its owner only; durable when this returns.
///
/// # Errors
/// `File` when it cannot be written.
pub fn write_secret(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), IdentityFailure> {
    write(path, contents.as_ref(), SECRET_MODE)
}

/// Writes `text` to `path`, readable by all; durable when this returns.
///
/// # Errors
/// `File` when it cannot be written.
pub fn write_public(path: &Path, text: &str) -> Result<(), IdentityFailure> {
    write(path, text.as_bytes(), PUBLIC_MODE)
}

/// Reads a token or key from `path`, without the white space around it.
///
/// # Errors
/// `File` when it cannot be read.
pub fn read_secret(path: &Path) -> Result<Secret<String>, IdentityFailure> {
    Ok(Secret::new(read(path)?.trim().to_owned()))
}

pub(crate) fn read(path: &Path) -> Result<String, IdentityFailure> {
    fs::read_to_string(path).map_err(failure("read", path))
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, IdentityFailure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path)(error)),
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<(), IdentityFailure> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failure("make", path))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), IdentityFailure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failure("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityFailure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    // A leftover of a crash may have another mode: it is removed, never reused.
    remove(beside)?;
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        // The rename is durable once its folder is.
        File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(failure("write", path))
}

fn failure(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IdentityFailure {
    let path = path.to_owned();
    move |source| IdentityFailure::File { action, path, source }
}
