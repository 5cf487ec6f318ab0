//! Secrets that Banyan makes itself and keeps in its state folder, so that a restart knows them: readable by its owner alone.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{admin::tokens::Secret, rotation};
use crate::{
    clock,
    gate::assertion::Signer,
    visitor::{SigningKey, VisitorSettings},
};

/// 180 days: as long as `[visitor] max_age` is by itself.
const VISITOR_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(180 * 86_400);

/// The key that signs visitor cookies where `[visitor]` names none: read from `<state>/visitor.key`, or made there.
///
/// # Errors
/// The folder or file can't be read or written.
pub fn visitor_settings(state: &Path) -> io::Result<VisitorSettings> {
    let secret = kept(&state.join("visitor.key"), || {
        let mut secret = vec![0; 32];
        rand::fill(&mut secret).map_err(io::Error::other)?;
        Ok(secret)
    })?;
    Ok(VisitorSettings {
        keys: vec![SigningKey {
            id: "own".to_owned(),
            secret,
        }],
        max_age: VISITOR_MAX_AGE,
        ..VisitorSettings::default()
    })
}

/// The key that seals sessions where `[gate.session]` names none: read from `<state>/session.key`, or made there.
///
/// # Errors
/// The folder or file can't be read or written.
pub fn session_key(state: &Path) -> io::Result<SigningKey> {
    let secret = kept(&state.join("session.key"), || {
        let mut secret = vec![0; 32];
        rand::fill(&mut secret).map_err(io::Error::other)?;
        Ok(secret)
    })?;
    Ok(SigningKey {
        id: "own".to_owned(),
        secret,
    })
}

/// What signs `Banyan-Identity`, with the keys of [`rotation::keys`] and `<state>/subjects.key`, which are made where they are missing.
///
/// # Errors
/// The folder or a file can't be read or written, or holds something else.
pub fn identity_signer(state: &Path) -> io::Result<Signer> {
    let keys = rotation::keys(state, clock::wall())?;
    let secret = kept(&state.join("subjects.key"), || {
        let mut secret = vec![0; 32];
        rand::fill(&mut secret).map_err(io::Error::other)?;
        Ok(secret)
    })?;
    Ok(Signer::new(keys, &secret))
}

/// The token of this machine's command line, made anew and put into `<state>/cli.token`: one that got out ends with the program.
///
/// # Errors
/// The folder or file can't be written.
pub fn cli_token(state: &Path) -> io::Result<Secret> {
    let file = state.join("cli.token");
    let secret = Secret::token()?;
    write_private(&file, secret.reveal())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    Ok(secret)
}

pub(super) fn kept(file: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    match fs::read_to_string(file) {
        Ok(text) => URL_SAFE_NO_PAD
            .decode(text.trim())
            .map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = make()?;
            write_private(file, &URL_SAFE_NO_PAD.encode(&secret)).map_err(named)?;
            Ok(secret)
        }
        Err(error) => Err(named(error)),
    }
}

/// Writes through a temporary name, so that a crash leaves the whole file or none.
pub(super) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let half = file.with_extension("new");
    let _ = fs::remove_file(&half); // left by a crash, and readable by whom it was then
    let mut out = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&half)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(half, file)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::{identity_signer, visitor_settings};

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = visitor_settings(&state).unwrap();
        let second = visitor_settings(&state).unwrap();
        assert_eq!(first.keys[0].secret, second.keys[0].secret);
        assert_eq!(first.keys[0].secret.len(), 32);
        let signer = identity_signer(&state).unwrap();
        assert_eq!(signer.jwks(), identity_signer(&state).unwrap().jwks());
        let mode = fs::metadata(state.join("visitor.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("visitor.key"), "!!").unwrap();
        let error = visitor_settings(folder.path()).unwrap_err().to_string();
        assert!(error.contains("visitor.key"), "{error}");
    }
}
