//! One squad's broken file never takes another squad's routes down: what is broken stays as it last was.

use super::{
    Env, Loaded, Problems, load_sources,
    settings::Settings,
    sources::{FileKind, Sources},
};

/// What to serve after a change.
#[derive(Debug)]
pub struct Isolated {
    /// What to serve. `None`: nothing can be served, not even what was good before.
    pub settings: Option<Settings>,
    /// The texts that the settings come from: the next change's last good ones.
    pub sources: Sources,
    /// What is wrong with the new texts, whether or not something else is served in their place.
    pub problems: Problems,
    /// Files that stay as they last were, although they have changed or gone.
    pub using_old: Vec<String>,
    /// Files that are left out, since there is nothing good to fall back on.
    pub left_out: Vec<String>,
}

/// Applies as much of `new` as can stand; the rest stays as it is in `last_good`, which is empty at the first start.
///
/// A broken squad's or flag's file stays as it was, or is left out when it never was good. A broken `banyan.toml` keeps
/// everything as it was. What clashes between files is blamed on those that have changed.
#[must_use]
pub fn isolate(new: &Sources, last_good: &Sources, env: &Env<'_>) -> Isolated {
    let mut loaded = load_sources(new, env);
    let problems = std::mem::take(&mut loaded.problems);
    let mut round = Round {
        sources: new.clone(),
        settings: loaded.settings,
        blamed: blamed(&problems),
    };
    let changed = new.changed_since(last_good);
    let mut reverted: Vec<String> = Vec::new();
    while round.settings.is_none() {
        let open = |file: &String| changed.contains(file) && !reverted.contains(file);
        let mut guilty: Vec<String> = round.blamed.iter().filter(|file| open(file)).cloned().collect();
        if guilty.is_empty() {
            let rest: Vec<&String> = changed.iter().filter(|file| open(file)).collect();
            guilty.extend(most_helpful(&round.sources, &rest, last_good, env));
        }
        let whole = |file: &String| matches!(new.kind(file), Some(FileKind::Operator) | None);
        if guilty.is_empty() || guilty.iter().any(whole) {
            return keep_all(last_good, &changed, problems, env);
        }
        for file in &guilty {
            round.sources.take_from(last_good, file);
        }
        reverted.append(&mut guilty);
        round = round.again(env);
    }
    reverted.sort_unstable();
    let (using_old, left_out) = reverted
        .into_iter()
        .partition(|file| last_good.get(file).is_some());
    Isolated {
        settings: round.settings,
        sources: round.sources,
        problems,
        using_old,
        left_out,
    }
}

/// One try.
struct Round {
    sources: Sources,
    settings: Option<Settings>,
    blamed: Vec<String>,
}

impl Round {
    fn again(self, env: &Env<'_>) -> Self {
        let Loaded {
            settings, problems, ..
        } = load_sources(&self.sources, env);
        Self {
            settings,
            blamed: blamed(&problems),
            sources: self.sources,
        }
    }
}

/// Files that errors are about, those that they point at included.
fn blamed(problems: &Problems) -> Vec<String> {
    let files = problems.errors().flat_map(|problem| {
        std::iter::once(&problem.file).chain(problem.related.iter().map(|related| &related.file))
    });
    let mut files: Vec<String> = files.cloned().collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// The changed file whose old version leaves the fewest errors, when errors are only about files that haven't changed:
/// such as a backend that has gone from another file. Looks at no more than [`TRIED_MAX`].
fn most_helpful(
    sources: &Sources,
    candidates: &[&String],
    last_good: &Sources,
    env: &Env<'_>,
) -> Option<String> {
    let left = |file: &str| {
        let mut tried = sources.clone();
        tried.take_from(last_good, file);
        load_sources(&tried, env).problems.errors().count()
    };
    candidates
        .iter()
        .take(TRIED_MAX)
        .map(|file| (left(file), *file))
        .min()
        .map(|(_, file)| file.clone())
}

fn keep_all(last_good: &Sources, changed: &[String], problems: Problems, env: &Env<'_>) -> Isolated {
    let settings = if last_good.is_empty() {
        None
    } else {
        load_sources(last_good, env).settings
    };
    let (using_old, left_out) = changed
        .iter()
        .cloned()
        .partition(|file| last_good.get(file).is_some());
    Isolated {
        settings,
        sources: last_good.clone(),
        problems,
        using_old,
        left_out,
    }
}

/// A change of more files at once than this is kept back whole sooner than tried one by one.
const TRIED_MAX: usize = 32;
