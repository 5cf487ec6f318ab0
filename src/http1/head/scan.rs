//! Finds the end of a head while it arrives, never looking at a byte twice.

use memchr::memchr;

use super::Bounds;

/// What a start line may have beside its target: the longest method that anybody registered, spaces, version.
const START_LINE_EXTRA: usize = 64;

/// Which part of a message is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// A request's head: one empty line may stand before it (RFC 9112 section 2.2).
    Request,
    /// A response's head.
    Response,
    /// What trails a chunked body: no start line.
    Trailers,
}

/// A whole head in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it starts: behind an empty line, if there was one.
    pub(crate) start: usize,
    /// Where it ends: behind the empty line.
    pub(crate) end: usize,
    /// How many field lines it has.
    pub(crate) fields: usize,
}

/// Why a head is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// Larger than [`Bounds::head_bytes_max`].
    TooLarge,
    /// More lines than [`Bounds::headers_max`].
    TooManyFields,
    /// A start line that no target within [`Bounds::uri_bytes_max`] explains.
    StartLineTooLong,
    /// Not HTTP/1.
    Syntax(&'static str),
}

/// How far a head has been looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner {
    section: Section,
    at: usize,
    line_start: usize,
    lines: usize,
    start: usize,
}

impl Scanner {
    pub(crate) const fn new(section: Section) -> Self {
        Self {
            section,
            at: 0,
            line_start: 0,
            lines: 0,
            start: 0,
        }
    }

    /// Looks at what is new in `input`, which is what it was plus more. `None`: not whole yet.
    pub(crate) fn scan(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<Extent>, ScanError> {
        self.check_first_byte(input)?;
        while let Some(found) = input.get(self.at..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.at + found + 1;
            self.check_size(end, bounds)?;
            let line = input.get(self.line_start..end - 1).unwrap_or_default();
            let Some((b'\r', line)) = line.split_last() else {
                return Err(ScanError::Syntax("bare-lf"));
            };
            self.at = end;
            self.line_start = end;
            match line.first() {
                None if self.lines > 0 || self.section == Section::Trailers => {
                    return Ok(Some(self.whole(end)));
                }
                None => self.skip_blank(end)?,
                Some(b' ' | b'\t') if self.lines > 0 => return Err(ScanError::Syntax("obs-fold")),
                Some(_) => self.count_line(bounds)?,
            }
            self.check_first_byte(input)?;
        }
        self.at = input.len();
        self.check_size(input.len(), bounds)?;
        Ok(None)
    }

    /// A byte that can't begin a start line is refused at once, not when a line end happens to come.
    fn check_first_byte(&self, input: &[u8]) -> Result<(), ScanError> {
        if self.lines > 0 || self.section == Section::Trailers {
            return Ok(());
        }
        match input.get(self.line_start) {
            Some(b' ' | b'\t') => Err(ScanError::Syntax("leading-whitespace")),
            Some(b'\n') => Err(ScanError::Syntax("bare-lf")),
            Some(b'\r') | None => Ok(()),
            Some(byte) if byte.is_ascii_graphic() => Ok(()),
            Some(_) => Err(ScanError::Syntax("start-line")),
        }
    }

    fn check_size(&self, end: usize, bounds: &Bounds) -> Result<(), ScanError> {
        let in_start_line = self.lines == 0 && self.section != Section::Trailers;
        if in_start_line && end - self.line_start > bounds.uri_bytes_max.saturating_add(START_LINE_EXTRA) {
            return Err(ScanError::StartLineTooLong);
        }
        if end > bounds.head_bytes_max {
            return Err(ScanError::TooLarge);
        }
        Ok(())
    }

    fn skip_blank(&mut self, end: usize) -> Result<(), ScanError> {
        if self.section == Section::Request && self.start == 0 {
            self.start = end;
            return Ok(());
        }
        Err(ScanError::Syntax("empty-line"))
    }

    fn count_line(&mut self, bounds: &Bounds) -> Result<(), ScanError> {
        self.lines += 1;
        if self.fields() > bounds.headers_max {
            return Err(ScanError::TooManyFields);
        }
        Ok(())
    }

    fn fields(&self) -> usize {
        match self.section {
            Section::Request | Section::Response => self.lines.saturating_sub(1),
            Section::Trailers => self.lines,
        }
    }

    fn whole(&mut self, end: usize) -> Extent {
        let extent = Extent {
            start: self.start,
            end,
            fields: self.fields(),
        };
        *self = Self::new(self.section);
        extent
    }
}
