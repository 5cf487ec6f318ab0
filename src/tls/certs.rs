//! All certificates of a folder, and which of them a client is shown.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
    sync::Arc,
};

use rustls::SignatureScheme;

use crate::{
    clock::{self, UnixTime},
    tls::pair::{CertProblem, Files, Level, Pair, WARN_DAYS, canonical, file_name, refused, warning},
};

/// Most certificates in one folder. The rest is refused.
pub const PAIRS_MAX: usize = 10_000;

/// The certificates of a folder, ready to be chosen from. Never edited: read again, and swapped.
#[derive(Debug, Default)]
pub struct CertStore {
    pairs: Vec<Arc<Pair>>,
    /// By whole name; each list in the order of preference.
    exact: HashMap<Arc<str>, Vec<Arc<Pair>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Arc<str>, Vec<Arc<Pair>>>,
    /// For a name that nobody has, and for no name at all.
    default: Vec<Arc<Pair>>,
}

/// When a certificate ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry<'a> {
    /// The file with the chain, relative to the folder of certificates.
    pub file: &'a str,
    /// Its first name, or nothing.
    pub name: &'a str,
    /// Last second in which it is valid, since 1970.
    pub not_after: u64,
}

impl CertStore {
    /// Reads every pair of `folder`: `<stem>.pem` with chain and key together, or `<stem>.pem` or `<stem>.crt` with
    /// `<stem>.key`. Hidden files and other endings are not looked at. A folder that isn't there is an empty one.
    ///
    /// What can't be used is in the list of problems; in its place the pair of the same stem of `previous` stays.
    #[must_use]
    pub fn read(folder: &Path, previous: Option<&Self>) -> (Self, Vec<CertProblem>) {
        Self::read_at(folder, previous, clock::wall())
    }

    /// [`CertStore::read`] at a given time.
    #[must_use]
    pub fn read_at(folder: &Path, previous: Option<&Self>, now: UnixTime) -> (Self, Vec<CertProblem>) {
        let mut problems = Vec::new();
        let files = match list(folder, &mut problems) {
            Ok(files) => files,
            Err(error) => {
                let kept = previous.map_or_else(Vec::new, |store| store.pairs.clone());
                if error.kind() != io::ErrorKind::NotFound || !kept.is_empty() {
                    problems.push(*refused(
                        &folder.display().to_string(),
                        &format!("the folder can't be read: {error}"),
                        "the certificates read before stay in use",
                    ));
                }
                return (Self::new(kept, now), problems);
            }
        };
        let mut pairs = Vec::with_capacity(files.len());
        for (stem, files) in &files {
            match Pair::read(stem, files, now, &mut problems) {
                Ok(pair) => pairs.push(Arc::new(pair)),
                Err(problem) => {
                    problems.push(*problem);
                    pairs.extend(previous.and_then(|store| store.by_stem(stem)).cloned());
                }
            }
        }
        (Self::new(pairs, now), problems)
    }

    /// Whether [`CertStore::read`] looks at a file of this name.
    #[must_use]
    pub fn reads(file: &Path) -> bool {
        parts(file).is_some()
    }

    /// The certificate for a client that asks for `sni` and can check `schemes`: of the name itself, else of the wildcard
    /// over it (one label, RFC 6125 section 6.4.3), else the default. ECDSA before RSA, valid before expired.
    ///
    /// `None`: there is no certificate at all, or none for this name whose signature the client can check.
    #[must_use]
    pub fn find(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Pair>> {
        let name = sni.map(canonical).unwrap_or_default();
        let exact = self.exact.get(name.as_str());
        let wildcard = name
            .split_once('.')
            .filter(|(label, _)| !label.is_empty())
            .and_then(|(_, parent)| self.wildcard.get(parent));
        let mut known = exact.into_iter().chain(wildcard).flatten().peekable();
        if known.peek().is_some() {
            return known.find(|pair| pair.signs(schemes));
        }
        self.default.iter().find(|pair| pair.signs(schemes))
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All pairs, by stem.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().map(Arc::as_ref)
    }

    /// When each certificate ends, for metrics.
    pub fn expiries(&self) -> impl Iterator<Item = Expiry<'_>> {
        self.pairs.iter().map(|pair| Expiry {
            file: &pair.file,
            name: pair.names.first().map_or("", AsRef::as_ref),
            not_after: pair.not_after,
        })
    }

    /// The certificates that end within [`WARN_DAYS`] of `now`, or have ended, for the log.
    pub fn ending_soon(&self, now: UnixTime) -> impl Iterator<Item = Expiry<'_>> {
        let limit = now.secs().saturating_add(WARN_DAYS * 86_400);
        self.expiries().filter(move |expiry| expiry.not_after < limit)
    }

    fn by_stem(&self, stem: &str) -> Option<&Arc<Pair>> {
        self.pairs.iter().find(|pair| *pair.stem == *stem)
    }

    fn new(pairs: Vec<Arc<Pair>>, now: UnixTime) -> Self {
        let mut preferred = pairs.clone();
        preferred.sort_by_key(|pair| {
            (
                !pair.is_valid_at(now),
                pair.is_rsa(),
                Reverse(pair.not_after),
                Arc::clone(&pair.stem),
            )
        });
        let mut store = Self {
            pairs,
            ..Self::default()
        };
        for pair in &preferred {
            for name in &pair.names {
                let (index, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut store.wildcard, Arc::from(parent)),
                    None => (&mut store.exact, Arc::clone(name)),
                };
                index.entry(key).or_default().push(Arc::clone(pair));
            }
        }
        if let Some(default) = store.by_stem("default").or_else(|| store.pairs.first()) {
            // Its twin with the other kind of key serves the clients that it can't.
            let twin = |pair: &&Arc<Pair>| pair.names.first() == default.names.first();
            let others = preferred
                .iter()
                .filter(twin)
                .filter(|pair| pair.stem != default.stem);
            store.default = std::iter::once(default).chain(others).cloned().collect();
        }
        store
    }
}

/// The stem and the ending of a file that is read; `None`: it is not looked at.
fn parts(path: &Path) -> Option<(&str, &str)> {
    let (stem, ending) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
    (!stem.starts_with('.') && matches!(ending, "pem" | "crt" | "key")).then_some((stem, ending))
}

/// The files of `folder`, by stem.
fn list(folder: &Path, problems: &mut Vec<CertProblem>) -> io::Result<BTreeMap<String, Files>> {
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some((stem, ending)) = parts(&path).filter(|_| !path.is_dir()) else {
            continue;
        };
        if found.len() >= PAIRS_MAX && !found.contains_key(stem) {
            if !problems.iter().any(|problem| problem.level == Level::Refused) {
                problems.push(*refused(
                    &file_name(&path),
                    "more than 10000 certificates in one folder",
                    "remove those that nobody uses, or join names in one certificate",
                ));
            }
            continue;
        }
        let files = found.entry(stem.to_owned()).or_default();
        match (ending, &files.chain) {
            ("key", _) => files.key = Some(path),
            (_, Some(other)) => {
                let (pem, crt) = if ending == "pem" {
                    (&path, other)
                } else {
                    (other, &path)
                };
                problems.push(warning(
                    &file_name(crt),
                    &format!("not used: {} holds a chain too", file_name(pem)),
                    "remove one of the two",
                ));
                files.chain = Some(pem.clone());
            }
            (_, None) => files.chain = Some(path),
        }
    }
    Ok(found)
}
