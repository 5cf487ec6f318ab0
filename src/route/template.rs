//! Path templates as squads write them: `/courses/{slug}/reviews/*`.

use super::{
    pathset::PathSet,
    target::{Ambiguous, EncodedSlash, canonical},
};

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1024;

/// Most `{name}` segments of one template; the path tree names them with letters.
pub const PARAMS_MAX: usize = 24;

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
    takes_rest: bool,
}

/// One segment between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this text; empty only as the last one, for a template that ends in `/`.
    Static(Box<str>),
    /// `{name}`: any one segment that isn't empty.
    Param(Box<str>),
}

/// Why a text isn't a template, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It doesn't start with `/`.
    #[error("a path starts with `/`; write `/{0}`")]
    Relative(String),
    /// It is longer than [`TEMPLATE_BYTES_MAX`].
    #[error("a path has at most {TEMPLATE_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// It holds a query.
    #[error("a path has no `?`; say what the query must hold under `query` instead")]
    Query,
    /// `*` is not the whole last segment.
    #[error(
        "`*` stands for the rest of the path and can only be the whole last segment, as in `/courses/*`; for one segment write `{{name}}`, \
         for wildcards elsewhere use `pattern` with an `order`"
    )]
    Star,
    /// `**`.
    #[error("`**` isn't needed: a last `/*` takes the whole rest of the path, slashes included")]
    TwoStars,
    /// `{}`.
    #[error("`{{}}` has no name; write `{{name}}`")]
    Nameless,
    /// `{*rest}`.
    #[error("the rest of the path is written as a last `/*`, not as `{0}`")]
    NamedRest(String),
    /// A name with characters outside `A-Z a-z 0-9 _ -`.
    #[error("`{{{0}}}` isn't a name; use letters, digits, `_` and `-`")]
    BadName(String),
    /// A `{name}` beside other text in one segment.
    #[error(
        "`{0}` mixes `{{name}}` with other text; `{{name}}` is always a whole segment, for parts of one use `pattern`"
    )]
    Partial(String),
    /// The same name twice.
    #[error("`{{{0}}}` stands twice; give each segment its own name")]
    Twice(String),
    /// More than [`PARAMS_MAX`] names.
    #[error("a path has at most {PARAMS_MAX} `{{name}}` segments")]
    TooManyParams,
    /// It would never match, since requests are matched by their canonical path.
    #[error("requests are matched by their canonical path, so this would never match; write `{0}`")]
    NotCanonical(String),
    /// It has more than one reading, so such requests are refused.
    #[error("{0}; such requests are refused, so this would never match")]
    Ambiguous(Ambiguous),
}

impl Template {
    /// Checks and takes a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what is wrong and how to mend it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong(text.len()));
        }
        let Some(inside) = text.strip_prefix('/') else {
            return Err(TemplateError::Relative(text.to_owned()));
        };
        if text.contains('?') {
            return Err(TemplateError::Query);
        }
        let (fixed, takes_rest) = match inside.strip_suffix('*') {
            Some("") => (None, true),
            Some(before) if before.ends_with('/') => (before.strip_suffix('/'), true),
            _ => (Some(inside), false),
        };
        let segments = fixed
            .into_iter()
            .flat_map(|fixed| fixed.split('/'))
            .map(Segment::parse)
            .collect::<Result<Vec<_>, _>>()?;
        check_names(&segments)?;
        check_spelling(text)?;
        Ok(Self {
            text: text.into(),
            segments,
            takes_rest,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments before a last `/*`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `/*`.
    #[must_use]
    pub fn takes_rest(&self) -> bool {
        self.takes_rest
    }

    /// The `{name}`s, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(&**name),
            Segment::Static(_) => None,
        })
    }

    /// What each `{name}` stands for in a canonical path; a last `/*` is named `*`. `None` when the path isn't taken.
    #[must_use]
    pub fn params<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut left = Some(path.strip_prefix('/')?);
        let mut params = Vec::new();
        for segment in &self.segments {
            let (head, tail) = next_segment(left?);
            left = tail;
            match segment {
                Segment::Static(text) if **text == *head => {}
                Segment::Param(name) if !head.is_empty() => params.push((&**name, head)),
                Segment::Static(_) | Segment::Param(_) => return None,
            }
        }
        match (self.takes_rest, left) {
            (true, rest) => params.push(("*", rest.unwrap_or_default())),
            (false, None) => {}
            (false, Some(_)) => return None,
        }
        Some(params)
    }

    /// Whether a canonical path is taken.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        self.params(path).is_some()
    }

    /// A short path that is taken, with the names as values.
    #[must_use]
    pub fn example(&self) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Static(text) | Segment::Param(text) => text,
            });
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// The paths that it takes.
    pub(super) fn set(&self) -> PathSet {
        let mut set = PathSet::default();
        for segment in &self.segments {
            set.literal("/");
            match segment {
                Segment::Static(text) => set.literal(text),
                Segment::Param(_) => set.segment(),
            }
        }
        if self.takes_rest {
            set.rest();
        }
        set
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            if name.is_empty() {
                return Err(TemplateError::Nameless);
            }
            if name.starts_with('*') {
                return Err(TemplateError::NamedRest(text.to_owned()));
            }
            if name.contains(['{', '}']) {
                return Err(TemplateError::Partial(text.to_owned()));
            }
            if !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            {
                return Err(TemplateError::BadName(name.to_owned()));
            }
            return Ok(Self::Param(name.into()));
        }
        if text.contains(['{', '}']) {
            return Err(TemplateError::Partial(text.to_owned()));
        }
        if text.contains("**") {
            return Err(TemplateError::TwoStars);
        }
        if text.contains('*') {
            return Err(TemplateError::Star);
        }
        Ok(Self::Static(text.into()))
    }
}

/// The text up to the next slash, and what follows that slash.
pub(super) fn next_segment(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    }
}

fn check_names(segments: &[Segment]) -> Result<(), TemplateError> {
    let mut names: Vec<&str> = Vec::new();
    for segment in segments {
        if let Segment::Param(name) = segment {
            if names.contains(&&**name) {
                return Err(TemplateError::Twice(name.to_string()));
            }
            names.push(name);
        }
    }
    if names.len() > PARAMS_MAX {
        return Err(TemplateError::TooManyParams);
    }
    Ok(())
}

fn check_spelling(text: &str) -> Result<(), TemplateError> {
    // braces stand around names only, and no other escape is spelt like this one, so they come back unchanged
    let path = text.replace('{', OPEN).replace('}', CLOSE);
    let canonical = canonical(&path, EncodedSlash::Keep).map_err(TemplateError::Ambiguous)?;
    if canonical == path {
        return Ok(());
    }
    Err(TemplateError::NotCanonical(
        canonical.replace(OPEN, "{").replace(CLOSE, "}"),
    ))
}

/// What braces are written as while a template is compared with its canonical form: path characters that no other rule touches.
const OPEN: &str = "(((";
const CLOSE: &str = ")))";

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
